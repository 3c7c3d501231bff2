#include <cstring>

#include "ops/axis_lanes.h"

namespace sanderling {
namespace {

// The slices to choose from; without an axis, those of the flattened input.
AxisLanes slices_of(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  if (!context.attributes().has("axis")) return {1, shape.elements(), 1};
  const int64_t axis = context.attributes().integer("axis", 0);
  return lanes_along(shape, checked_axis(context, axis, shape.rank()));
}

// The slices whose condition holds; what the condition is too short for is left out, and what it
// has beyond the slices says nothing.
std::vector<int64_t> chosen_slices(const InferContext& context, const AxisLanes& slices) {
  const std::span<const bool> condition = context.constant(1).data<bool>();
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < std::min(slices.length, static_cast<int64_t>(condition.size())); ++i)
    if (condition[static_cast<size_t>(i)]) chosen.push_back(i);
  return chosen;
}

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  if (context.input(1).dtype != DType::kBool || context.input(1).shape.rank() != 1)
    context.error("condition is ", context.input(1).to_string(), ", expected a list of bool");
  const AxisLanes slices = slices_of(context);
  const auto count = static_cast<int64_t>(chosen_slices(context, slices).size());
  std::vector<int64_t> dims{count};
  if (context.attributes().has("axis")) {
    dims = x.shape.dims();
    const int64_t axis = context.attributes().integer("axis", 0);
    dims[static_cast<size_t>(checked_axis(context, axis, x.shape.rank()))] = count;
  }
  context.set_output(0, x.dtype, checked_shape(context, std::move(dims)));
}

void reference(const ReferenceContext& context) {
  const AxisLanes slices = slices_of(context);
  const std::vector<int64_t> chosen = chosen_slices(context, slices);
  const size_t bytes = static_cast<size_t>(slices.inner) * size_of(context.input(0).dtype);
  if (bytes == 0 || chosen.empty()) return;
  const auto* x = static_cast<const std::byte*>(context.raw_input(0));
  auto* y = static_cast<std::byte*>(context.raw_output(0));
  for (int64_t outer = 0; outer < slices.outer; ++outer)
    for (int64_t slice : chosen) {
      std::memcpy(y, x + static_cast<size_t>(outer * slices.length + slice) * bytes, bytes);
      y += bytes;
    }
}

SANDERLING_OPERATOR(compress)({.name = "Compress",
                               .since_opset = 9,
                               .min_inputs = 2,
                               .max_inputs = 2,
                               .infer = infer,
                               .reference = reference});

}  // namespace
}  // namespace sanderling
