#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

struct Selu {
  explicit Selu(const InferContext& context)
      : alpha(context.attributes().number("alpha", 1.67326319217681884765625f)),
        gamma(context.attributes().number("gamma", 1.05070102214813232421875f)) {}
  double operator()(double x) const { return gamma * (x > 0 ? x : alpha * std::expm1(x)); }
  float operator()(float x) const {
    return gamma * choose(x > 0.0f, x, alpha * expm1_below_zero(x));
  }

  float alpha, gamma;
};

SANDERLING_OPERATOR(selu)({.name = "Selu",
                           .since_opset = 7,
                           .infer = infer_function<Selu>,
                           .reference = reference_function<Selu>,
                           .plan = plan_function<Selu>,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
