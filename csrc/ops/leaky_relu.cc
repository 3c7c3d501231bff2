#include "ops/unary_function.h"

namespace sanderling {
namespace {

struct LeakyRelu {
  explicit LeakyRelu(const InferContext& context)
      : alpha(context.attributes().number("alpha", 0.01f)) {}
  double operator()(double x) const { return x < 0 ? alpha * x : x; }
  float operator()(float x) const { return choose(x < 0.0f, alpha * x, x); }

  float alpha;
};

SANDERLING_OPERATOR(leaky_relu)({.name = "LeakyRelu",
                                 .since_opset = 7,
                                 .infer = infer_function<LeakyRelu>,
                                 .reference = reference_function<LeakyRelu>,
                                 .plan = plan_function<LeakyRelu>,
                                 .elementwise = true,
                                 .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
