#include "ops/com_microsoft/qlinear_binary.h"

namespace sanderling {
namespace {

// As QAdd computes it (kernels/params.h BinaryU8).
void reference(const ReferenceContext& context) {
  reference_qlinear_binary(
      context, [](int32_t a, int32_t b, const CodeParameters& a_parameters,
                  const CodeParameters& b_parameters, const CodeParameters& y) {
        const double step = y.scale;
        const auto a_scale = static_cast<float>(a_parameters.scale / step);
        const auto b_scale = static_cast<float>(b_parameters.scale / step);
        return static_cast<float>(a) * a_scale + static_cast<float>(b) * b_scale;
      });
}

SANDERLING_OPERATOR(qlinear_add)({.name = "com.microsoft.QLinearAdd",
                                  .since_opset = 1,
                                  .min_inputs = 2,
                                  .max_inputs = 8,
                                  .infer = infer_qlinear_binary,
                                  .reference = reference});

}  // namespace
}  // namespace sanderling
