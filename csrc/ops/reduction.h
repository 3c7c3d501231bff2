// Reductions over axes, what the ten Reduce operators share. How one of them reduces is a class
// template over the element type T:
//
//   using Total = ...;                           // what several elements have come to so far
//   static constexpr Total nothing();            // of no element
//   static Total add(Total total, T x);
//   static Total join(Total a, Total b);
//   static T result(Total total, int64_t count);  // of `count` elements
//   static constexpr bool kIsSum = true;          // if Total is their plain sum; optional
#pragma once

#include <array>
#include <type_traits>
#include <vector>

#include "kernels/table.h"
#include "ops/convert.h"
#include "ops/parallel.h"

namespace sanderling {

// The opset from which on axes are an input; ReduceSum is the exception.
constexpr int64_t kReductionAxesAreInputSince = 18;

// For each axis of the input, whether it is reduced.
std::vector<bool> reduced_axes(const InferContext& context, int64_t axes_are_input_since);

// The shape rule, for the numbers that ONNX has sums of.
void infer_reduction(InferContext& context, int64_t axes_are_input_since);
// The same for what only compares: bytes and bool too.
void infer_extremum(InferContext& context);

// The index in the output of input element `index`.
int64_t reduced_index(const Shape& shape, const std::vector<bool>& reduced, int64_t index);

// Sums are double for floats, so their error does not grow with their length, and of 64 bits that
// wrap around for integers.
template <typename T>
using WideTotal = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;

template <typename T>
WideTotal<T> widen_term(T x) {
  return static_cast<WideTotal<T>>(x);
}

// A total as an element: the low bits of an integer.
template <typename T>
T narrow_total(WideTotal<T> total) {
  return static_cast<T>(total);
}

// A total that is not a T, such as the root of a sum of integers.
template <typename T>
T convert_total(double total) {
  return convert_element<T>(total, false);
}

// visit_number, and bool.
template <typename Visit>
void visit_reduced(DType dtype, const Visit& visit) {
  if (dtype == DType::kBool) return visit(bool{});
  visit_number(dtype, visit);
}

template <template <typename> class Reducer>
void reference_reduction(const ReferenceContext& context, int64_t axes_are_input_since) {
  const Shape& shape = context.input(0).shape;
  const std::vector<bool> reduced = reduced_axes(context, axes_are_input_since);
  int64_t count = 1;
  for (int64_t axis = 0; axis < shape.rank(); ++axis)
    if (reduced[static_cast<size_t>(axis)]) count *= shape[axis];
  visit_reduced(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    using R = Reducer<T>;
    const auto outputs = static_cast<size_t>(context.output(0).shape.elements());
    std::vector<typename R::Total> totals(outputs, R::nothing());
    for (int64_t i = 0; i < shape.elements(); ++i) {
      const auto at = static_cast<size_t>(reduced_index(shape, reduced, i));
      totals[at] = R::add(totals[at], context.in<T>(0)[i]);
    }
    for (size_t i = 0; i < outputs; ++i) context.out<T>(0)[i] = R::result(totals[i], count);
  });
}

// The input in memory order as groups of neighbouring axes that are all reduced or all kept: the
// innermost one is a run of elements that lie in a row; outside it are groups of both kinds.
struct ReductionWalk {
  struct Group {
    int64_t extent = 1, stride = 0;
  };
  // The groups of one kind outside the run.
  struct Groups {
    int count = 0;
    int64_t elements = 1;
    std::array<Group, Shape::kMaxRank> all{};  // innermost first

    int64_t offset(int64_t index) const {
      int64_t offset = 0;
      for (int i = 0; i < count; ++i) {
        const Group& group = all[static_cast<size_t>(i)];
        offset += index % group.extent * group.stride;
        index /= group.extent;
      }
      return offset;
    }
  };

  ReductionWalk(const Shape& shape, const std::vector<bool>& reduced);

  // Calls visit(offset) for each run that goes into one output (or one row of outputs).
  template <typename Visit>
  void for_each_run(const Visit& visit) const {
    const Group inner = over.count > 0 ? over.all[0] : Group{};
    for (int64_t i = 0; i < over.elements; i += inner.extent) {
      const int64_t offset = over.offset(i);
      for (int64_t k = 0; k < inner.extent; ++k) visit(offset + k * inner.stride);
    }
  }

  int64_t run = 1;
  bool run_is_reduced = false;
  Groups kept, over;  // over: those reduced
  int64_t count = 1;  // elements that become one
};

struct ReductionStep {
  ReductionWalk walk;
  const KernelTable* kernels;
  int64_t tile;  // columns that a task reduces together where runs are kept
};

// Totals of one tile stay in the first-level cache: 8 KiB for double.
constexpr int64_t kReductionTile = 1024;
// Independent totals of a run hide the latency of addition and of going through memory; more than
// GCC unrolls before it looks for vectors (16), which it then often misses.
constexpr int64_t kReductionLanes = 32;

// Shorter runs are not worth the call of a kernel.
constexpr int64_t kShortestSummed = 8;

template <typename R, typename T>
T reduce_runs(const ReductionStep& step, const T* x) {
  const ReductionWalk& walk = step.walk;
  if constexpr (std::is_same_v<T, float> && requires { R::kIsSum; }) {
    if (walk.run >= kShortestSummed) {
      double total = 0.0;
      walk.for_each_run(
          [&](int64_t offset) { total += step.kernels->sum_f32(x + offset, walk.run); });
      return R::result(total, walk.count);
    }
  }
  if (walk.run < kReductionLanes) {
    typename R::Total total = R::nothing();
    walk.for_each_run([&](int64_t offset) {
      for (int64_t i = 0; i < walk.run; ++i) total = R::add(total, x[offset + i]);
    });
    return R::result(total, walk.count);
  }
  typename R::Total totals[kReductionLanes];
  std::fill_n(totals, kReductionLanes, R::nothing());
  walk.for_each_run([&](int64_t offset) {
    const T* from = x + offset;
    int64_t i = 0;
    for (; i + kReductionLanes <= walk.run; i += kReductionLanes)
      for (int64_t lane = 0; lane < kReductionLanes; ++lane)
        totals[lane] = R::add(totals[lane], from[i + lane]);
    for (; i < walk.run; ++i) totals[0] = R::add(totals[0], from[i]);
  });
  for (int64_t half = kReductionLanes / 2; half > 0; half /= 2)
    for (int64_t lane = 0; lane < half; ++lane)
      totals[lane] = R::join(totals[lane], totals[lane + half]);
  return R::result(totals[0], walk.count);
}

template <typename R, typename T>
void reduce_columns(const ReductionWalk& walk, const T* x, T* y, int64_t columns) {
  typename R::Total totals[kReductionTile];
  std::fill_n(totals, columns, R::nothing());
  walk.for_each_run([&](int64_t offset) {
    const T* from = x + offset;
    for (int64_t i = 0; i < columns; ++i) totals[i] = R::add(totals[i], from[i]);
  });
  for (int64_t i = 0; i < columns; ++i) y[i] = R::result(totals[i], walk.count);
}

template <typename R, typename T>
void run_reduction(const ReductionStep& step, const StepArgs& args) {
  const ReductionWalk& walk = step.walk;
  const auto* x = static_cast<const T*>(args.inputs[0]);
  auto* y = static_cast<T*>(args.outputs[0]);
  const int64_t tiles = walk.run_is_reduced ? 1 : (walk.run + step.tile - 1) / step.tile;
  const int64_t task =
      walk.run_is_reduced ? walk.count : std::min(step.tile, walk.run) * walk.count;
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / task);
  for_each_range(*args.workers, walk.kept.elements * tiles, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / tiles;
      const T* from = x + walk.kept.offset(row);
      if (walk.run_is_reduced) {
        y[row] = reduce_runs<R, T>(step, from);
      } else {
        const int64_t column = i % tiles * step.tile;
        reduce_columns<R, T>(walk, from + column, y + row * walk.run + column,
                             std::min(step.tile, walk.run - column));
      }
    }
  });
}

ReductionStep reduction_step(const PlanContext& context, int64_t axes_are_input_since);

template <template <typename> class Reducer>
void plan_reduction(PlanContext& context, int64_t axes_are_input_since) {
  switch (context.input(0).dtype) {
    case DType::kFloat32:
      return context.emit(run_reduction<Reducer<float>, float>,
                          reduction_step(context, axes_are_input_since));
    case DType::kInt32:
      return context.emit(run_reduction<Reducer<int32_t>, int32_t>,
                          reduction_step(context, axes_are_input_since));
    case DType::kInt64:
      return context.emit(run_reduction<Reducer<int64_t>, int64_t>,
                          reduction_step(context, axes_are_input_since));
    default:
      return;
  }
}

}  // namespace sanderling
