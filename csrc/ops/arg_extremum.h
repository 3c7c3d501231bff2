// What ArgMax and ArgMin share.
#pragma once

#include <limits>

#include "ops/axis_lanes.h"
#include "ops/element_order.h"
#include "ops/element_types.h"

namespace sanderling {

// The input along the axis; a scalar is a lane of one element.
inline AxisLanes arg_lanes(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  const int64_t given = context.attributes().integer("axis", 0);
  if (shape.rank() == 0 && (given == 0 || given == -1)) return {1, 1, 1};
  return lanes_along(shape, checked_axis(context, given, shape.rank()));
}

inline bool selects_last(const InferContext& context) {
  return context.attributes().integer("select_last_index", 0) != 0;
}

inline void infer_arg_extremum(InferContext& context) {
  require_ordered(context, 0);
  const Shape& shape = context.input(0).shape;
  const AxisLanes lanes = arg_lanes(context);
  if (lanes.length == 0 && lanes.count() > 0)
    context.error("input 0 has shape ", shape.to_string(), " with no elements along the axis");
  std::vector<int64_t> dims = shape.dims();
  if (!dims.empty()) {
    const auto axis =
        dims.begin() + checked_axis(context, context.attributes().integer("axis", 0), shape.rank());
    *axis = 1;
    if (context.attributes().integer("keepdims", 1) == 0) dims.erase(axis);
  }
  context.set_output(0, DType::kInt64, checked_shape(context, std::move(dims)));
}

template <bool kLargest>
void reference_arg_extremum(const ReferenceContext& context) {
  const AxisLanes lanes = arg_lanes(context);
  const bool last = selects_last(context);
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t lane = 0; lane < lanes.count(); ++lane) {
      const T* x = context.in<T>(0) + lanes.start(lane);
      int64_t best = 0;
      for (int64_t i = 1; i < lanes.length; ++i) {
        const T a = x[i * lanes.inner], b = x[best * lanes.inner];
        if (order_before<kLargest>(a, b) || (last && !order_before<kLargest>(b, a))) best = i;
      }
      context.out<int64_t>(0)[lane] = best;
    }
  });
}

struct ArgStep {
  AxisLanes lanes;
  bool last;
};

// What is first in the order; NaN wins.
template <bool kLargest>
float extremum_of(const float* x, int64_t count) {
  constexpr int64_t kLanes = 16;  // hide the latency of comparing
  float best[kLanes];
  std::fill_n(best, kLanes, x[0]);
  const auto take = [](float& to, float from) {
    const float better = (kLargest ? from > to : from < to) ? from : to;  // one instruction
    to = from != from ? from : better;
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) take(best[lane], x[i + lane]);
  for (; i < count; ++i) take(best[0], x[i]);
  for (int64_t lane = 1; lane < kLanes; ++lane) take(best[0], best[lane]);
  return best[0];
}

// A row in blocks that stay in the first-level cache: its extremum in vectors, then, where it is
// new, its place.
template <bool kLargest>
int64_t arg_of_row(const float* x, int64_t count, bool last) {
  constexpr int64_t kBlock = 1024;
  int64_t found = -1;
  float best = 0.0f;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(count, begin + kBlock);
    const float here = extremum_of<kLargest>(x + begin, end - begin);
    if (found >= 0 && !order_before<kLargest>(here, best) &&
        !(last && !order_before<kLargest>(best, here)))
      continue;
    const auto is_it = [&](float value) {
      return value == here || (here != here && value != value);
    };
    best = here;
    found = last ? end - 1 : begin;
    while (!is_it(x[found])) found += last ? -1 : 1;
  }
  return found;
}

template <bool kLargest>
void arg_of_columns(const float* x, int64_t* y, const ArgStep& step, int64_t count) {
  float best[kLaneTile];
  int32_t found[kLaneTile];  // float32 tensors have no more elements (kMaxTensorBytes)
  std::copy_n(x, count, best);
  std::fill_n(found, count, 0);
  for (int64_t i = 1; i < step.lanes.length; ++i) {
    const float* row = x + i * step.lanes.inner;
    const auto index = static_cast<int32_t>(i);
    for (int64_t c = 0; c < count; ++c) {
      const float a = row[c], b = best[c];
      const bool better = (kLargest ? a > b : a < b) | ((a != a) & (b == b));
      const bool takes = better | (step.last & ((a == b) | ((a != a) & (b != b))));
      best[c] = takes ? a : b;
      found[c] = takes ? index : found[c];
    }
  }
  for (int64_t c = 0; c < count; ++c) y[c] = found[c];
}

template <bool kLargest>
void run_arg_extremum(const ArgStep& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<int64_t*>(args.outputs[0]);
  const AxisLanes& lanes = step.lanes;
  for_each_lanes(
      *args.workers, lanes, kStreamGrain,
      [&](int64_t begin, int64_t end) {
        for (int64_t lane = begin; lane < end; ++lane)
          y[lane] = arg_of_row<kLargest>(x + lane * lanes.length, lanes.length, step.last);
      },
      [&](int64_t start, int64_t count) {
        const int64_t slab = lanes.length * lanes.inner;
        arg_of_columns<kLargest>(x + start, y + start / slab * lanes.inner + start % slab, step,
                                 count);
      });
}

template <bool kLargest>
void plan_arg_extremum(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    context.emit(run_arg_extremum<kLargest>, ArgStep{arg_lanes(context), selects_last(context)});
}

}  // namespace sanderling
