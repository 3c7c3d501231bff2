#include <cstring>
#include <numeric>

#include "ops/axes.h"
#include "ops/convert.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

constexpr int64_t kPadsAreInputSince = 11;

enum class Mode { kConstant, kReflect, kEdge, kWrap };

Mode mode_of(const InferContext& context) {
  const std::string mode = context.attributes().text("mode", "constant");
  if (mode == "constant") return Mode::kConstant;
  if (mode == "reflect") return Mode::kReflect;
  if (mode == "edge") return Mode::kEdge;
  if (mode == "wrap" && context.node().opset >= 19) return Mode::kWrap;
  context.error("mode is '", mode, "', opset ", context.node().opset,
                " has constant, reflect, edge", context.node().opset >= 19 ? " and wrap" : "");
}

// How much one axis grows at each end; negative: shrinks.
struct Pads {
  int64_t begin = 0, end = 0;
};

// For each axis of the input.
std::vector<Pads> pads_of(const InferContext& context) {
  const int64_t rank = context.input(0).shape.rank();
  const bool inputs = context.node().opset >= kPadsAreInputSince;
  if (!inputs && context.inputs() > 1)
    context.error("opset ", context.node().opset, " takes pads as an attribute, not as an input");
  if (!inputs && !context.attributes().has("pads")) context.error("has no pads");
  const std::vector<int64_t> values =
      inputs ? constant_integers(context, 1) : context.attributes().integers("pads", {});
  std::vector<int64_t> axes(static_cast<size_t>(rank));
  std::iota(axes.begin(), axes.end(), int64_t{0});
  if (context.has_input(3)) {
    axes = constant_integers(context, 3);
    checked_axes(context, axes, rank);
  }
  if (values.size() != 2 * axes.size())
    context.error("pads has ", values.size(), " values, expected two for each of ", axes.size(),
                  " axes of shape ", context.input(0).shape.to_string());
  for (int64_t value : values)
    if (value < -Shape::kMaxElements || value > Shape::kMaxElements)
      context.error("pads has the value ", value, ", the limit is ", Shape::kMaxElements);
  std::vector<Pads> pads(static_cast<size_t>(rank));
  for (size_t i = 0; i < axes.size(); ++i)
    pads[static_cast<size_t>(checked_axis(context, axes[i], rank))] = {values[i],
                                                                       values[axes.size() + i]};
  return pads;
}

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  const Mode mode = mode_of(context);
  if (context.has_input(2)) {
    require_same_dtype(context, 0, 2);
    require_one_element(context, 2, "constant_value");
  }
  context.attributes().number("value", 0.0f);  // throws if its type is wrong
  const std::vector<Pads> pads = pads_of(context);
  std::vector<int64_t> dims;
  for (int64_t axis = 0; axis < x.shape.rank(); ++axis) {
    const auto [begin, end] = pads[static_cast<size_t>(axis)];
    const int64_t kept = x.shape[axis] + std::min<int64_t>(begin, 0) + std::min<int64_t>(end, 0);
    if (kept < 0)
      context.error("pads [", begin, ", ", end, "] remove more than the extent ", x.shape[axis],
                    " of axis ", axis);
    if (kept == 0 && mode != Mode::kConstant && (begin > 0 || end > 0))
      context.error("mode '", context.attributes().text("mode", ""),
                    "' has nothing to repeat on axis ", axis, " of ", x.to_string());
    dims.push_back(kept + std::max<int64_t>(begin, 0) + std::max<int64_t>(end, 0));
  }
  context.set_output(0, x.dtype, checked_shape(context, std::move(dims)));
}

constexpr int64_t kFill = -1;

// Which input index output index `i` of an axis shows; kFill: the constant. What negative pads
// remove is not there to be reflected or repeated.
int64_t source_index(int64_t i, int64_t extent, Pads pads, Mode mode) {
  const int64_t first = std::max<int64_t>(-pads.begin, 0);  // kept are [first, first + kept)
  const int64_t kept = extent - first - std::max<int64_t>(-pads.end, 0);
  int64_t at = i - std::max<int64_t>(pads.begin, 0);
  if (at >= 0 && at < kept) return first + at;
  switch (mode) {
    case Mode::kConstant:
      return kFill;
    case Mode::kEdge:
      return first + std::clamp<int64_t>(at, 0, kept - 1);
    case Mode::kWrap:
      return first + (at % kept + kept) % kept;
    case Mode::kReflect: {
      if (kept == 1) return first;
      const int64_t period = 2 * (kept - 1);
      at = (at % period + period) % period;
      return first + std::min(at, period - at);
    }
  }
  return kFill;
}

// Writes the constant as it lies in memory: the input, the attribute, or zero.
template <typename T>
T fill_value(const InferContext& context, const void* input) {
  if (input) return *static_cast<const T*>(input);
  T bits = 0;
  const double value = context.attributes().number("value", 0.0f);
  visit_element(context.input(0).dtype, [&](auto zero) {
    const auto element = convert_element<decltype(zero)>(value, true);
    if constexpr (sizeof(element) <= sizeof(T)) std::memcpy(&bits, &element, sizeof(element));
  });
  return bits;
}

void reference(const ReferenceContext& context) {
  const Mode mode = mode_of(context);
  const std::vector<Pads> pads = pads_of(context);
  const Shape& from = context.input(0).shape;
  const Shape& to = context.output(0).shape;
  const std::vector<int64_t> strides = from.strides();
  visit_width(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto fill = fill_value<T>(context, context.has_input(2) ? context.raw_input(2) : nullptr);
    for (int64_t i = 0; i < to.elements(); ++i) {
      int64_t rest = i, offset = 0;
      bool inside = true;
      for (int64_t axis = to.rank() - 1; axis >= 0; --axis) {
        const auto a = static_cast<size_t>(axis);
        const int64_t at = source_index(rest % to[axis], from[axis], pads[a], mode);
        inside = inside && at != kFill;
        offset += at * strides[a];
        rest /= to[axis];
      }
      static_cast<T*>(context.raw_output(0))[i] =
          inside ? static_cast<const T*>(context.raw_input(0))[offset] : fill;
    }
  });
}

// The output is rows along the last padded axis; its elements are blocks of what lies behind that
// axis. maps says for each axis up to there which input index each output index shows.
template <typename T>
struct Step {
  std::vector<std::vector<int64_t>> maps;  // the last one is the row's
  std::vector<int64_t> strides;            // of the input, in elements, for each map
  int64_t rows, block;
  int64_t middle_begin, middle_end;  // where the row's map counts up by ones
  bool fill_is_input;
  T fill;  // where it is not
};

template <typename T>
void copy_blocks(const Step<T>& step, const T* x, T* y, int64_t begin, int64_t end, T fill) {
  const std::vector<int64_t>& map = step.maps.back();
  for (int64_t i = begin; i < end; ++i) {
    const int64_t at = map[static_cast<size_t>(i)];
    if (at == kFill)
      std::fill_n(y + i * step.block, step.block, fill);
    else
      std::copy_n(x + at * step.block, step.block, y + i * step.block);
  }
}

template <typename T>
void run(const Step<T>& step, const StepArgs& args) {
  const auto* x = static_cast<const T*>(args.inputs[0]);
  auto* y = static_cast<T*>(args.outputs[0]);
  const T fill = step.fill_is_input ? *static_cast<const T*>(args.inputs[2]) : step.fill;
  const auto width = static_cast<int64_t>(step.maps.back().size());
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / (width * step.block));
  for_each_range(*args.workers, step.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t rest = row, offset = 0;
      bool inside = true;
      for (size_t i = step.maps.size() - 1; i-- > 0;) {
        const auto extent = static_cast<int64_t>(step.maps[i].size());
        const int64_t at = step.maps[i][static_cast<size_t>(rest % extent)];
        rest /= extent;
        inside = inside && at != kFill;
        offset += at * step.strides[i];
      }
      T* to = y + row * width * step.block;
      if (!inside) {
        std::fill_n(to, width * step.block, fill);
        continue;
      }
      const int64_t first = step.middle_begin, last = step.middle_end;
      copy_blocks(step, x + offset, to, 0, first, fill);
      if (first < last)
        std::copy_n(x + offset + step.maps.back()[static_cast<size_t>(first)] * step.block,
                    (last - first) * step.block, to + first * step.block);
      copy_blocks(step, x + offset, to, last, width, fill);
    }
  });
}

template <typename T>
Step<T> make_step(const PlanContext& context) {
  const Mode mode = mode_of(context);
  const std::vector<Pads> pads = pads_of(context);
  const Shape& from = context.input(0).shape;
  const Shape& to = context.output(0).shape;
  const std::vector<int64_t> strides = from.strides();
  int64_t axes = from.rank();  // up to the last padded one
  while (axes > 1 && pads[static_cast<size_t>(axes - 1)].begin == 0 &&
         pads[static_cast<size_t>(axes - 1)].end == 0)
    --axes;
  const bool fill_is_input = context.has_input(2);
  Step<T> step{.maps = {},
               .strides = {strides.begin(), strides.begin() + axes},
               .rows = to.elements(0, axes - 1),
               .block = to.elements(axes, to.rank()),
               .middle_begin = 0,
               .middle_end = 0,
               .fill_is_input = fill_is_input,
               .fill = fill_is_input ? T{0} : fill_value<T>(context, nullptr)};
  for (int64_t axis = 0; axis < axes; ++axis) {
    std::vector<int64_t> map(static_cast<size_t>(to[axis]));
    for (size_t i = 0; i < map.size(); ++i)
      map[i] =
          source_index(static_cast<int64_t>(i), from[axis], pads[static_cast<size_t>(axis)], mode);
    step.maps.push_back(std::move(map));
  }
  const Pads last = pads[static_cast<size_t>(axes - 1)];
  step.middle_begin = std::max<int64_t>(last.begin, 0);
  step.middle_end = to[axes - 1] - std::max<int64_t>(last.end, 0);
  return step;
}

// A step keeps 8 bytes per index of each axis. Beyond this the reference, which keeps none, is
// fast enough: its cost is in the bytes that it writes.
constexpr int64_t kLongestMappedAxis = int64_t{1} << 20;

void plan(PlanContext& context) {
  const Shape& to = context.output(0).shape;
  if (context.input(0).shape.rank() == 0 || to.elements() == 0) return;
  for (int64_t axis = 0; axis < to.rank(); ++axis)
    if (to[axis] > kLongestMappedAxis) return;
  visit_width(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    context.emit(run<T>, make_step<T>(context));
  });
}

SANDERLING_OPERATOR(pad)({.name = "Pad",
                          .since_opset = 7,
                          .max_inputs = 4,
                          .infer = infer,
                          .reference = reference,
                          .plan = plan,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
