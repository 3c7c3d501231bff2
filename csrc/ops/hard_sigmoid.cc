#include <algorithm>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

struct HardSigmoid {
  explicit HardSigmoid(const InferContext& context)
      : alpha(context.attributes().number("alpha", 0.2f)),
        beta(context.attributes().number("beta", 0.5f)) {}
  double operator()(double x) const { return std::clamp(alpha * x + beta, 0.0, 1.0); }
  float operator()(float x) const {
    float y = alpha * x + beta;
    y = choose(y < 0.0f, 0.0f, y);
    return choose(y > 1.0f, 1.0f, y);
  }

  float alpha, beta;
};

SANDERLING_OPERATOR(hard_sigmoid)({.name = "HardSigmoid",
                                   .since_opset = 7,
                                   .infer = infer_function<HardSigmoid>,
                                   .reference = reference_function<HardSigmoid>,
                                   .plan = plan_function<HardSigmoid>,
                                   .elementwise = true,
                                   .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
