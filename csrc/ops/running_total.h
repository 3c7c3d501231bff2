// What CumSum and CumProd share: y[i] is the total of the elements of its lane up to i. `Combine`
// is a functor with `static constexpr int kNothing`, the total of no element.
#pragma once

#include <type_traits>

#include "ops/axis_lanes.h"
#include "ops/element_types.h"

namespace sanderling {

// Totals are double for floats and of 64 bits that wrap around for integers.
template <typename T>
using RunningTotal = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;

struct RunningStep {
  AxisLanes lanes;
  bool exclusive, reverse;

  // The place of the i-th element in the order of summing.
  int64_t at(int64_t i) const { return (reverse ? lanes.length - 1 - i : i) * lanes.inner; }
};

inline RunningStep running_step(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  require_one_element(context, 1, "axis");
  const int64_t axis = constant_integers(context, 1)[0];
  return {shape.rank() == 0 && (axis == 0 || axis == -1)
              ? AxisLanes{1, 1, 1}
              : lanes_along(shape, checked_axis(context, axis, shape.rank())),
          context.attributes().integer("exclusive", 0) != 0,
          context.attributes().integer("reverse", 0) != 0};
}

inline void infer_running_total(InferContext& context) {
  require_dtype(context, 0,
                {DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64, DType::kUInt32,
                 DType::kUInt64});
  require_one_element(context, 1, "axis");
  if (context.is_known(1)) running_step(context);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

template <typename Combine, typename T>
void run_along(const RunningStep& step, const T* x, T* y) {
  using Total = RunningTotal<T>;
  Total total = Combine::kNothing;
  for (int64_t i = 0; i < step.lanes.length; ++i) {
    const Total next = Combine{}(total, static_cast<Total>(x[step.at(i)]));
    y[step.at(i)] = static_cast<T>(step.exclusive ? total : next);
    total = next;
  }
}

template <typename Combine>
void reference_running_total(const ReferenceContext& context) {
  const RunningStep step = running_step(context);
  if (context.input(0).shape.elements() == 0) return;
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t lane = 0; lane < step.lanes.count(); ++lane) {
      const int64_t start = step.lanes.start(lane);
      run_along<Combine>(step, context.in<T>(0) + start, context.out<T>(0) + start);
    }
  });
}

template <typename Combine, typename T>
void run_columns(const RunningStep& step, const T* x, T* y, int64_t count) {
  using Total = RunningTotal<T>;
  Total totals[kLaneTile];
  std::fill_n(totals, count, Total{Combine::kNothing});
  for (int64_t i = 0; i < step.lanes.length; ++i) {
    const T* from = x + step.at(i);
    T* to = y + step.at(i);
    for (int64_t c = 0; c < count; ++c) {
      const Total next = Combine{}(totals[c], static_cast<Total>(from[c]));
      to[c] = static_cast<T>(step.exclusive ? totals[c] : next);
      totals[c] = next;
    }
  }
}

template <typename Combine, typename T>
void run_running_total(const RunningStep& step, const StepArgs& args) {
  const auto* x = static_cast<const T*>(args.inputs[0]);
  auto* y = static_cast<T*>(args.outputs[0]);
  for_each_lanes(
      *args.workers, step.lanes, kStreamGrain,
      [&](int64_t begin, int64_t end) {
        for (int64_t lane = begin; lane < end; ++lane) {
          const int64_t start = lane * step.lanes.length;
          run_along<Combine>(step, x + start, y + start);
        }
      },
      [&](int64_t start, int64_t count) {
        run_columns<Combine>(step, x + start, y + start, count);
      });
}

// Where the axis is computed at run time, the reference runs.
template <typename Combine>
void plan_running_total(PlanContext& context) {
  if (!context.is_known(1)) return;
  switch (context.input(0).dtype) {
    case DType::kFloat32:
      return context.emit(run_running_total<Combine, float>, running_step(context));
    case DType::kInt32:
      return context.emit(run_running_total<Combine, int32_t>, running_step(context));
    case DType::kInt64:
      return context.emit(run_running_total<Combine, int64_t>, running_step(context));
    default:
      return;
  }
}

}  // namespace sanderling
