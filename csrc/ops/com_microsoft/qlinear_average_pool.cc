#include "ops/com_microsoft/qlinear_average.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  check_qlinear_unary(context);
  infer_pool(context, context.input(0).dtype);
}

void reference(const ReferenceContext& context) {
  reference_qlinear_average(context, pool_window(context));
}

SANDERLING_OPERATOR(qlinear_average_pool)({.name = "com.microsoft.QLinearAveragePool",
                                           .since_opset = 1,
                                           .min_inputs = 2,
                                           .max_inputs = 5,
                                           .infer = infer,
                                           .reference = reference});

}  // namespace
}  // namespace sanderling
