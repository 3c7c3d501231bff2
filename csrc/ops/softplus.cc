#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// log(1 + exp(x)) where exp does not overflow: within 4 ulp.
float softplus_element(float x) {
  return choose(x > 0.0f, x, 0.0f) + log1p_to_one(exp_float(-std::fabs(x)));
}

void reference(const ReferenceContext& context) {
  reference_unary_function(
      context, [](double x) { return (x > 0 ? x : 0.0) + std::log1p(std::exp(-std::fabs(x))); });
}

SANDERLING_OPERATOR(softplus)({.name = "Softplus",
                               .since_opset = 7,
                               .infer = infer_unary_function,
                               .reference = reference,
                               .plan = plan_unary_function<softplus_element>,
                               .elementwise = true,
                               .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
