// Operators along one axis: each lane, the elements that differ in that axis alone, by itself.
#pragma once

#include "ops/axes.h"
#include "ops/parallel.h"

namespace sanderling {

// A tensor as [outer, length, inner].
struct AxisLanes {
  int64_t outer, length, inner;

  int64_t count() const { return outer * inner; }
  // Where lane `lane` begins; its elements are `inner` apart.
  int64_t start(int64_t lane) const { return lane / inner * length * inner + lane % inner; }
};

// `axis` in [0, rank).
inline AxisLanes lanes_along(const Shape& shape, int64_t axis) {
  return {shape.elements(0, axis), shape[axis], shape.elements(axis + 1, shape.rank())};
}

// The axis of Softmax, LogSoftmax and Hardmax: since opset 13 one axis, -1 by default; before, it
// splits the input into a matrix whose rows are lanes.
inline AxisLanes softmax_lanes(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  const bool one_axis = context.node().opset >= 13;
  const int64_t given = context.attributes().integer("axis", one_axis ? -1 : 1);
  if (shape.rank() == 0) {
    if (given != 0 && given != -1) checked_axis(context, given, 0);
    return {1, 1, 1};
  }
  if (!one_axis && given == shape.rank()) return {shape.elements(), 1, 1};
  const int64_t axis = checked_axis(context, given, shape.rank());
  if (!one_axis) return {shape.elements(0, axis), shape.elements(axis, shape.rank()), 1};
  return lanes_along(shape, axis);
}

inline void infer_softmax(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  softmax_lanes(context);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

// Calls visit(T{}) for float or double.
template <typename Visit>
void visit_float(DType dtype, const Visit& visit) {
  if (dtype == DType::kFloat32) return visit(float{});
  SANDERLING_ASSERT(dtype == DType::kFloat64, "floats expected, not ", name_of(dtype));
  visit(double{});
}

// What a task does at once where lanes are not contiguous: their columns side by side, so that
// memory is read in a row. Totals of so many columns stay in the first-level cache.
constexpr int64_t kLaneTile = 512;

// Calls rows(lane_begin, lane_end) for contiguous lanes, and otherwise columns(start, count) for
// neighbours whose elements i are at start + i * inner; `grain` elements or more per task.
template <typename Rows, typename Columns>
void for_each_lanes(Workers& workers, const AxisLanes& lanes, int64_t grain, const Rows& rows,
                    const Columns& columns) {
  const int64_t length = std::max<int64_t>(1, lanes.length);
  if (lanes.inner == 1) {
    for_each_range(workers, lanes.outer, std::max<int64_t>(1, grain / length), rows);
    return;
  }
  // Long lanes are shared in narrower tiles, but no narrower than 4 cache lines of float.
  const int64_t tile = std::clamp<int64_t>(grain / length / 64 * 64, 64, kLaneTile);
  const int64_t tiles = (lanes.inner + tile - 1) / tile;
  const int64_t at_once = std::max<int64_t>(1, grain / (std::min(tile, lanes.inner) * length));
  for_each_range(workers, lanes.outer * tiles, at_once, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t column = i % tiles * tile;
      columns(i / tiles * length * lanes.inner + column, std::min(tile, lanes.inner - column));
    }
  });
}

}  // namespace sanderling
