#include <cmath>
#include <limits>

#include "ops/axis_lanes.h"
#include "ops/softmax_step.h"

namespace sanderling {
namespace {

// The logarithm of Softmax, with its infinities and NaN.
void reference(const ReferenceContext& context) {
  if (context.input(0).shape.elements() == 0) return;
  const AxisLanes lanes = softmax_lanes(context);
  visit_float(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t lane = 0; lane < lanes.count(); ++lane) {
      const T* x = context.in<T>(0) + lanes.start(lane);
      T* y = context.out<T>(0) + lanes.start(lane);
      double largest = -std::numeric_limits<double>::infinity(), sum = 0.0;
      for (int64_t i = 0; i < lanes.length; ++i)
        largest = std::max(largest, static_cast<double>(x[i * lanes.inner]));
      for (int64_t i = 0; i < lanes.length; ++i)
        sum += std::exp(static_cast<double>(x[i * lanes.inner]) - largest);
      for (int64_t i = 0; i < lanes.length; ++i)
        y[i * lanes.inner] =
            static_cast<T>(static_cast<double>(x[i * lanes.inner]) - largest - std::log(sum));
    }
  });
}

void plan(PlanContext& context) { plan_softmax(context, true); }

SANDERLING_OPERATOR(log_softmax)({.name = "LogSoftmax",
                                  .since_opset = 7,
                                  .infer = infer_softmax,
                                  .reference = reference,
                                  .plan = plan});

}  // namespace
}  // namespace sanderling
