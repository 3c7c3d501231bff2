#include <cmath>

#include "ops/com_microsoft/qlinear_unary.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_qlinear_unary(context, [](double x) { return 1.0 / (1.0 + std::exp(-x)); });
}

SANDERLING_OPERATOR(qlinear_sigmoid)({.name = "com.microsoft.QLinearSigmoid",
                                      .since_opset = 1,
                                      .min_inputs = 2,
                                      .max_inputs = 5,
                                      .infer = infer_qlinear_unary,
                                      .reference = reference});

}  // namespace
}  // namespace sanderling
