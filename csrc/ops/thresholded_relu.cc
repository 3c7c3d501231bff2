#include "ops/unary_function.h"

namespace sanderling {
namespace {

// NaN is not above alpha: 0.
struct ThresholdedRelu {
  explicit ThresholdedRelu(const InferContext& context)
      : alpha(context.attributes().number("alpha", 1.0f)) {}
  double operator()(double x) const { return x > alpha ? x : 0.0; }
  float operator()(float x) const { return choose(x > alpha, x, 0.0f); }

  float alpha;
};

SANDERLING_OPERATOR(thresholded_relu)({.name = "ThresholdedRelu",
                                       .since_opset = 10,
                                       .infer = infer_function<ThresholdedRelu>,
                                       .reference = reference_function<ThresholdedRelu>,
                                       .plan = plan_function<ThresholdedRelu>,
                                       .elementwise = true});

}  // namespace
}  // namespace sanderling
