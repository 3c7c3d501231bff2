#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// With e = exp(x), tanh(log(1 + e)) = n / (n + 2) for n = e (e + 2): within 5 ulp. From 20 on that
// is 1, and e must not overflow.
float mish_element(float x) {
  const float e = exp_float(choose(x > 20.0f, 20.0f, x));
  const float n = e * (e + 2.0f);
  return x * (n / (n + 2.0f));
}

void reference(const ReferenceContext& context) {
  reference_unary_function(context,
                           [](double x) { return x * std::tanh(std::log1p(std::exp(x))); });
}

SANDERLING_OPERATOR(mish)({.name = "Mish",
                           .since_opset = 18,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan_unary_function<mish_element>,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
