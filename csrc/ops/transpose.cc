#include <array>
#include <numeric>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

// Input axis of each output axis; by default the reverse.
std::vector<int64_t> permutation(const InferContext& context) {
  const int64_t rank = context.input(0).shape.rank();
  std::vector<int64_t> reversed(static_cast<size_t>(rank));
  std::iota(reversed.rbegin(), reversed.rend(), int64_t{0});
  const std::vector<int64_t> perm = context.attributes().integers("perm", reversed);
  if (static_cast<int64_t>(perm.size()) != rank)
    context.error("perm has ", perm.size(), " axes, input 0 has shape ",
                  context.input(0).shape.to_string());
  for (int64_t axis : perm)
    if (axis < 0) context.error("perm has the axis ", axis, ", expected 0 to ", rank - 1);
  checked_axes(context, perm, rank);
  return perm;
}

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  std::vector<int64_t> dims;
  for (int64_t axis : permutation(context)) dims.push_back(x.shape[axis]);
  context.set_output(0, x.dtype, Shape(std::move(dims)));
}

void reference(const ReferenceContext& context) {
  const std::vector<int64_t> perm = permutation(context);
  const std::vector<int64_t> strides = context.input(0).shape.strides();
  const Shape& shape = context.output(0).shape;
  visit_width(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto* x = static_cast<const T*>(context.raw_input(0));
    auto* y = static_cast<T*>(context.raw_output(0));
    for (int64_t i = 0; i < shape.elements(); ++i) {
      int64_t rest = i, offset = 0;
      for (int64_t axis = shape.rank() - 1; axis >= 0; --axis) {
        offset +=
            rest % shape[axis] * strides[static_cast<size_t>(perm[static_cast<size_t>(axis)])];
        rest /= shape[axis];
      }
      y[i] = x[offset];
    }
  });
}

// 32 x 32 elements of 8 bytes are 8 KiB on each side: reads and writes of a tile stay in the
// first-level cache.
constexpr int64_t kTile = 32;

// One axis of the output, with how far a step along it moves in the input and in the output.
struct Axis {
  int64_t extent = 1, from = 0, to = 0;
};

// The output is walked in tiles of two axes: `row`, along which the input is contiguous, and
// `column`, along which the output is. Where these are the same axis, `row` is one of extent 1 and
// tiles are runs.
struct Step {
  Axis row, column;
  int outer_count;
  std::array<Axis, Shape::kMaxRank> outer;
  int64_t outer_elements;
};

template <typename T>
void move_tile(const Step& step, const T* x, T* y, int64_t row, int64_t column, int64_t columns) {
  const int64_t row_end = std::min(row + kTile, step.row.extent);
  for (int64_t r = row; r < row_end; ++r) {
    const T* from = x + r * step.row.from + column * step.column.from;
    T* to = y + r * step.row.to + column;
    for (int64_t c = 0; c < columns; ++c) to[c] = from[c * step.column.from];
  }
}

template <typename T>
void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const T*>(args.inputs[0]);
  auto* y = static_cast<T*>(args.outputs[0]);
  const bool runs = step.column.from == 1;
  const int64_t tile_columns = runs ? kStreamGrain : kTile;
  const int64_t row_tiles = (step.row.extent + kTile - 1) / kTile;
  const int64_t column_tiles = (step.column.extent + tile_columns - 1) / tile_columns;
  const int64_t tiles = step.outer_elements * row_tiles * column_tiles;
  const int64_t tile_elements =
      std::min(kTile, step.row.extent) * std::min(tile_columns, step.column.extent);
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / std::max<int64_t>(1, tile_elements));
  for_each_range(*args.workers, tiles, grain, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t column = tile % column_tiles * tile_columns;
      const int64_t row = tile / column_tiles % row_tiles * kTile;
      int64_t rest = tile / column_tiles / row_tiles, from = 0, to = 0;
      for (int i = 0; i < step.outer_count; ++i) {
        const Axis& axis = step.outer[static_cast<size_t>(i)];
        from += rest % axis.extent * axis.from;
        to += rest % axis.extent * axis.to;
        rest /= axis.extent;
      }
      const int64_t columns = std::min(tile_columns, step.column.extent - column);
      if (runs)
        for (int64_t r = row; r < std::min(row + kTile, step.row.extent); ++r)
          std::copy_n(x + from + r * step.row.from + column, columns,
                      y + to + r * step.row.to + column);
      else
        move_tile(step, x + from, y + to, row, column, columns);
    }
  });
}

// Output axes from the innermost, without those of extent 1, those that stay neighbours merged.
std::vector<Axis> merged_axes(const PlanContext& context) {
  const std::vector<int64_t> perm = permutation(context);
  const std::vector<int64_t> from = context.input(0).shape.strides();
  const Shape& shape = context.output(0).shape;
  const std::vector<int64_t> to = shape.strides();
  std::vector<Axis> axes;
  for (int64_t i = shape.rank() - 1; i >= 0; --i) {
    const auto axis = static_cast<size_t>(i);
    const Axis next{shape[i], from[static_cast<size_t>(perm[axis])], to[axis]};
    if (next.extent == 1) continue;
    if (!axes.empty() && next.from == axes.back().from * axes.back().extent)
      axes.back().extent *= next.extent;
    else
      axes.push_back(next);
  }
  if (axes.empty()) axes.push_back({1, 1, 1});
  return axes;
}

void plan(PlanContext& context) {
  if (context.output(0).shape.elements() == 0) return;
  std::vector<Axis> axes = merged_axes(context);
  Step step{.row = {}, .column = axes[0], .outer_count = 0, .outer = {}, .outer_elements = 1};
  axes.erase(axes.begin());
  // Where the output's last axis is contiguous in the input too, rows are any other axis.
  const auto row =
      step.column.from == 1
          ? axes.begin()
          : std::find_if(axes.begin(), axes.end(), [](const Axis& axis) { return axis.from == 1; });
  if (row != axes.end()) {
    step.row = *row;
    axes.erase(row);
  }
  for (const Axis& axis : axes) {
    step.outer[static_cast<size_t>(step.outer_count++)] = axis;
    step.outer_elements *= axis.extent;
  }
  visit_width(context.input(0).dtype, [&](auto zero) { context.emit(run<decltype(zero)>, step); });
}

// Whether only axes of extent 1 change their place, as in the layout changes of one channel or one
// pixel.
bool keeps_order(const InferContext& context) {
  int64_t last = -1;
  for (int64_t axis : permutation(context)) {
    if (context.input(0).shape[axis] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

SANDERLING_OPERATOR(transpose)({.name = "Transpose",
                                .since_opset = 7,
                                .infer = infer,
                                .reference = reference,
                                .plan = plan,
                                .view_if = keeps_order});

}  // namespace
}  // namespace sanderling
