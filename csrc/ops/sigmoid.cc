#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// exp is within 1 ulp and the sum and the quotient round once each: at most 3 * 2^-24 from the
// exact value, relative to 1. Where exp overflows the quotient is 0, as it should be.
float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return 1.0 / (1.0 + std::exp(-x)); });
}

SANDERLING_OPERATOR(sigmoid)({.name = "Sigmoid",
                              .since_opset = 7,
                              .infer = infer_unary_function,
                              .reference = reference,
                              .plan = plan_unary_function<sigmoid>,
                              .elementwise = true});

}  // namespace
}  // namespace sanderling
