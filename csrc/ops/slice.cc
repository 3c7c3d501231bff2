#include <numeric>

#include "ops/axes.h"
#include "ops/coordinates.h"
#include "ops/copy_step.h"

namespace sanderling {
namespace {

constexpr int64_t kRangesAreInputsSince = 10;

// What one axis keeps.
struct Range {
  int64_t start = 0, step = 1, count = 0;
};

// start and end as the file gives them: negative ones count from the end, and what lies outside is
// as far as there are elements.
Range range_of(int64_t start, int64_t end, int64_t step, int64_t extent) {
  // A larger step goes past the end as well, and this one overflows nowhere.
  step = std::clamp(step, -Shape::kMaxElements, Shape::kMaxElements);
  const int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? extent : extent - 1;
  start = std::clamp(start < 0 ? start + extent : start,
                     step > 0 ? 0 : std::min<int64_t>(0, highest), highest);
  end = std::clamp(end < 0 ? end + extent : end, lowest, highest);
  const int64_t distance = step > 0 ? end - start : start - end, stride = std::abs(step);
  return {start, step, distance <= 0 ? 0 : (distance + stride - 1) / stride};
}

std::vector<int64_t> required(const InferContext& context, const char* name) {
  if (!context.attributes().has(name)) context.error("has no ", name);
  return context.attributes().integers(name, {});
}

void check_count(const InferContext& context, const char* name, size_t count, size_t starts) {
  if (count != starts)
    context.error(name, " has ", count, " values, starts has ", starts, "; each axis needs one");
}

// For each axis of the input.
std::vector<Range> ranges_of(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  const bool inputs = context.node().opset >= kRangesAreInputsSince;
  if (!inputs && context.inputs() > 1)
    context.error("opset ", context.node().opset, " takes starts and ends as attributes");
  const std::vector<int64_t> starts =
      inputs ? constant_integers(context, 1) : required(context, "starts");
  const std::vector<int64_t> ends =
      inputs ? constant_integers(context, 2) : required(context, "ends");
  std::vector<int64_t> axes(starts.size()), steps(starts.size(), 1);
  std::iota(axes.begin(), axes.end(), int64_t{0});
  if (!inputs) axes = context.attributes().integers("axes", axes);
  if (context.has_input(3)) axes = constant_integers(context, 3);
  if (context.has_input(4)) steps = constant_integers(context, 4);
  check_count(context, "ends", ends.size(), starts.size());
  check_count(context, "axes", axes.size(), starts.size());
  check_count(context, "steps", steps.size(), starts.size());
  checked_axes(context, axes, shape.rank());
  std::vector<Range> ranges;
  for (int64_t extent : shape.dims()) ranges.push_back({0, 1, extent});
  for (size_t i = 0; i < axes.size(); ++i) {
    if (steps[i] == 0) context.error("steps has a 0, expected a positive or negative number");
    const int64_t axis = checked_axis(context, axes[i], shape.rank());
    ranges[static_cast<size_t>(axis)] = range_of(starts[i], ends[i], steps[i], shape[axis]);
  }
  return ranges;
}

void infer(InferContext& context) {
  std::vector<int64_t> dims;
  for (const Range& range : ranges_of(context)) dims.push_back(range.count);
  context.set_output(0, context.input(0).dtype, Shape(std::move(dims)));
}

void reference(const ReferenceContext& context) {
  const std::vector<Range> ranges = ranges_of(context);
  const std::vector<int64_t> strides = context.input(0).shape.strides();
  move_elements(context, 0, [&](const Coordinates& at) {
    int64_t offset = 0;
    for (size_t i = 0; i < ranges.size(); ++i)
      offset += (ranges[i].start + at[static_cast<int64_t>(i)] * ranges[i].step) * strides[i];
    return offset;
  });
}

void plan(PlanContext& context) {
  const std::vector<Range> ranges = ranges_of(context);
  std::vector<int64_t> from = context.input(0).shape.strides();
  int64_t offset = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    offset += ranges[i].start * from[i];
    from[i] = ranges[i].count == 1 ? 0 : from[i] * ranges[i].step;  // a step may be huge
  }
  context.emit(run_copy,
               StridedCopy(context.input(0).dtype, axes_to(context.output(0).shape, from), offset));
}

bool keeps_all(const InferContext& context) {
  const std::vector<Range> ranges = ranges_of(context);
  return std::all_of(ranges.begin(), ranges.end(),
                     [](const Range& range) { return range.start == 0 && range.step == 1; }) &&
         context.input(0).shape == context.output_type(0).shape;
}

// One index of each axis up to one, of which a range is kept, and all of the axes after it.
std::optional<size_t> part_offset(const InferContext& context, size_t /*output*/) {
  const TensorType& x = context.input(0);
  const std::vector<Range> ranges = ranges_of(context);
  const std::vector<int64_t> strides = x.shape.strides();
  int64_t offset = 0;
  bool whole = false;  // whether the axes from here on must be kept whole
  for (size_t i = 0; i < ranges.size(); ++i) {
    const auto& [start, step, count] = ranges[i];
    if (count != 1 && step != 1) return std::nullopt;
    if (whole && count != x.shape[static_cast<int64_t>(i)]) return std::nullopt;
    whole = whole || count != 1;
    offset += start * strides[i];
  }
  return static_cast<size_t>(offset) * size_of(x.dtype);
}

SANDERLING_OPERATOR(slice)({.name = "Slice",
                            .since_opset = 1,
                            .max_inputs = 5,
                            .infer = infer,
                            .reference = reference,
                            .plan = plan,
                            .view_if = keeps_all,
                            .part_offset = part_offset,
                            .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
