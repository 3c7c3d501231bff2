// What Softmax and LogSoftmax share.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/axis_lanes.h"

namespace sanderling {

// y = result(x - the largest x of its lane, the lane's sum of exp of these), in double. Subtracting
// the largest keeps exp from overflowing. As in IEEE arithmetic, -inf has probability 0, and a NaN,
// a +inf or nothing but -inf make the whole distribution NaN.
template <typename Result>
void reference_softmax(const ReferenceContext& context, const Result& result) {
  if (context.input(0).shape.elements() == 0) return;
  const AxisLanes lanes = softmax_lanes(context);
  visit_float(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t lane = 0; lane < lanes.count(); ++lane) {
      const T* x = context.in<T>(0) + lanes.start(lane);
      T* y = context.out<T>(0) + lanes.start(lane);
      const auto at = [&](int64_t i) { return static_cast<double>(x[i * lanes.inner]); };
      double largest = -std::numeric_limits<double>::infinity(), sum = 0.0;
      for (int64_t i = 0; i < lanes.length; ++i) largest = std::max(largest, at(i));
      for (int64_t i = 0; i < lanes.length; ++i) sum += std::exp(at(i) - largest);
      for (int64_t i = 0; i < lanes.length; ++i)
        y[i * lanes.inner] = static_cast<T>(result(at(i) - largest, sum));
    }
  });
}

// The step for float32.
void plan_softmax(PlanContext& context, bool logarithm);

}  // namespace sanderling
