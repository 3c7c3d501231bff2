#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

struct Elu {
  explicit Elu(const InferContext& context) : alpha(context.attributes().number("alpha", 1.0f)) {}
  double operator()(double x) const { return x < 0 ? alpha * std::expm1(x) : x; }
  float operator()(float x) const { return choose(x < 0.0f, alpha * expm1_below_zero(x), x); }

  float alpha;
};

SANDERLING_OPERATOR(elu)({.name = "Elu",
                          .since_opset = 7,
                          .infer = infer_function<Elu>,
                          .reference = reference_function<Elu>,
                          .plan = plan_function<Elu>,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
