#include <limits>
#include <numeric>

#include "ops/axes.h"
#include "ops/coordinates.h"
#include "ops/strided_copy.h"

namespace sanderling {
namespace {

constexpr int64_t kSplitIsInputSince = 13;
constexpr int64_t kCountIsAttributeSince = 18;  // and parts may be uneven

int64_t split_axis(const InferContext& context) {
  return checked_axis(context, context.attributes().integer("axis", 0),
                      context.input(0).shape.rank());
}

// As many as there are outputs; where that leaves a rest, all parts are larger but for the last
// ones.
std::vector<int64_t> even_parts(const InferContext& context, int64_t extent) {
  const auto count = static_cast<int64_t>(context.outputs());
  if (context.node().opset >= kCountIsAttributeSince) {
    const int64_t wanted = context.attributes().integer("num_outputs", count);
    if (wanted != count)
      context.error("num_outputs is ", wanted, ", the node has ", count, " outputs");
  } else if (extent % count != 0) {
    context.error("cannot split the extent ", extent, " into ", count,
                  " equal parts. Give the parts as 'split'");
  }
  const int64_t part = (extent + count - 1) / count;
  std::vector<int64_t> parts;
  for (int64_t rest = extent; static_cast<int64_t>(parts.size()) < count; rest -= parts.back())
    parts.push_back(std::min(part, rest));
  return parts;
}

// The extent of each output along the axis.
std::vector<int64_t> parts_of(const InferContext& context, int64_t extent) {
  const bool input = context.node().opset >= kSplitIsInputSince;
  if (!input && context.has_input(1))
    context.error("opset ", context.node().opset, " takes split as an attribute, not as an input");
  if (input && context.attributes().has("split"))
    context.error("opset ", context.node().opset, " takes split as input 1, not as an attribute");
  if (input ? !context.has_input(1) : !context.attributes().has("split"))
    return even_parts(context, extent);
  if (context.attributes().has("num_outputs"))
    context.error("has both split and num_outputs, expected one of them");
  const std::vector<int64_t> parts =
      input ? constant_integers(context, 1) : context.attributes().integers("split", {});
  if (parts.size() != context.outputs())
    context.error("split has ", parts.size(), " values, the node has ", context.outputs(),
                  " outputs");
  int64_t rest = extent;
  for (int64_t part : parts) {
    if (part < 0 || part > rest)
      context.error("split has the value ", part, " where ", rest, " of the extent ", extent,
                    " are left");
    rest -= part;
  }
  if (rest != 0) context.error("split leaves ", rest, " of the extent ", extent, " over");
  return parts;
}

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  const int64_t axis = split_axis(context);
  const std::vector<int64_t> parts = parts_of(context, x.shape[axis]);
  for (size_t i = 0; i < parts.size(); ++i) {
    std::vector<int64_t> dims = x.shape.dims();
    dims[static_cast<size_t>(axis)] = parts[i];
    context.set_output(i, x.dtype, Shape(std::move(dims)));
  }
}

void reference(const ReferenceContext& context) {
  const Shape& shape = context.input(0).shape;
  const int64_t axis = split_axis(context);
  const std::vector<int64_t> parts = parts_of(context, shape[axis]);
  const std::vector<int64_t> strides = shape.strides();
  int64_t start = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (context.has_output(i))
      move_elements(context, i, [&](const Coordinates& at) {
        return at.offset(strides) + start * strides[static_cast<size_t>(axis)];
      });
    start += parts[i];
  }
}

struct Part {
  size_t output;
  StridedCopy copy;
};

struct Step {
  std::vector<Part> parts;
};

void run(const Step& step, const StepArgs& args) {
  for (const Part& part : step.parts)
    part.copy(args.inputs[0], args.outputs[part.output], *args.workers);
}

void plan(PlanContext& context) {
  const TensorType& x = context.input(0);
  const int64_t axis = split_axis(context);
  const std::vector<int64_t> parts = parts_of(context, x.shape[axis]);
  const std::vector<int64_t> strides = x.shape.strides();
  Step step;
  int64_t start = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (context.has_output(i) && parts[i] != 0)
      step.parts.push_back({i, StridedCopy(x.dtype, axes_to(context.output(i).shape, strides),
                                           start * strides[static_cast<size_t>(axis)])});
    start += parts[i];
  }
  context.emit(run, std::move(step));
}

std::optional<size_t> part_offset(const InferContext& context, size_t output) {
  const TensorType& x = context.input(0);
  const int64_t axis = split_axis(context);
  if (x.shape.elements(0, axis) != 1) return std::nullopt;
  const std::vector<int64_t> parts = parts_of(context, x.shape[axis]);
  const int64_t start =
      std::accumulate(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(output), int64_t{0});
  return static_cast<size_t>(start * x.shape.elements(axis + 1, x.shape.rank())) * size_of(x.dtype);
}

SANDERLING_OPERATOR(split)({.name = "Split",
                            .since_opset = 2,
                            .max_inputs = 2,
                            .max_outputs = std::numeric_limits<size_t>::max(),
                            .infer = infer,
                            .reference = reference,
                            .plan = plan,
                            .part_offset = part_offset,
                            .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
