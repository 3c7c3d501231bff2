#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// max(0, x) + min(0, alpha * (exp(x / alpha) - 1)), where one of the two is always 0.
struct Celu {
  explicit Celu(const InferContext& context) : alpha(context.attributes().number("alpha", 1.0f)) {
    if (alpha == 0.0f) context.error("alpha is 0, which x cannot be divided by");
  }
  double operator()(double x) const { return x > 0 ? x : alpha * std::expm1(x / alpha); }
  float operator()(float x) const {
    return choose(x > 0.0f, x, alpha * expm1_below_zero(x / alpha));
  }

  float alpha;
};

// In float x / alpha must be below 0 where x is.
void plan(PlanContext& context) {
  if (Celu(context).alpha > 0.0f) plan_function<Celu>(context);
}

SANDERLING_OPERATOR(celu)({.name = "Celu",
                           .since_opset = 12,
                           .infer = infer_function<Celu>,
                           .reference = reference_function<Celu>,
                           .plan = plan,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
