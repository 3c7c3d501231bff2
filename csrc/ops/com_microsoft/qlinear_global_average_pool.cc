#include "ops/com_microsoft/qlinear_average.h"

namespace sanderling {
namespace {

Window whole_image(const InferContext& context) {
  Window window;
  for (int64_t extent : spatial_extents(context))
    window.axes.push_back({.input = extent, .kernel = extent});
  return window;
}

void infer(InferContext& context) {
  check_qlinear_unary(context);
  context.set_output(0, context.input(0).dtype,
                     image_shape(context, channels_of(context), whole_image(context)));
}

void reference(const ReferenceContext& context) {
  reference_qlinear_average(context, whole_image(context));
}

SANDERLING_OPERATOR(qlinear_global_average_pool)({.name = "com.microsoft.QLinearGlobalAveragePool",
                                                  .since_opset = 1,
                                                  .min_inputs = 2,
                                                  .max_inputs = 5,
                                                  .infer = infer,
                                                  .reference = reference});

}  // namespace
}  // namespace sanderling
