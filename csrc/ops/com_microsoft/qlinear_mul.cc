#include "ops/com_microsoft/qlinear_binary.h"

namespace sanderling {
namespace {

// As QMul computes it (kernels/params.h BinaryU8).
void reference(const ReferenceContext& context) {
  reference_qlinear_binary(context, [](int32_t a, int32_t b, const CodeParameters& a_parameters,
                                       const CodeParameters& b_parameters,
                                       const CodeParameters& y) {
    const double product =
        static_cast<double>(a_parameters.scale) * static_cast<double>(b_parameters.scale);
    return static_cast<float>(a * b) * static_cast<float>(product / static_cast<double>(y.scale));
  });
}

SANDERLING_OPERATOR(qlinear_mul)({.name = "com.microsoft.QLinearMul",
                                  .since_opset = 1,
                                  .min_inputs = 2,
                                  .max_inputs = 8,
                                  .infer = infer_qlinear_binary,
                                  .reference = reference});

}  // namespace
}  // namespace sanderling
