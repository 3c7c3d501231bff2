#include <cmath>

#include "ops/com_microsoft/qlinear_unary.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  const double alpha = context.attributes().number("alpha", 0.01f);
  reference_qlinear_unary(context, [&](double x) { return x < 0.0 ? alpha * x : x; });
}

SANDERLING_OPERATOR(qlinear_leaky_relu)({.name = "com.microsoft.QLinearLeakyRelu",
                                         .since_opset = 1,
                                         .min_inputs = 2,
                                         .max_inputs = 5,
                                         .infer = infer_qlinear_unary,
                                         .reference = reference});

}  // namespace
}  // namespace sanderling
