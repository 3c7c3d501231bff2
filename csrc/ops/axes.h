// Axes and other lists of integers that come as an attribute in older opsets and as a constant
// input in newer ones.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "ops/node_checks.h"

namespace sanderling {

// Maps an axis, negative ones counting from the end, to [0, rank).
inline int64_t checked_axis(const InferContext& context, int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    context.error("axis ", axis, " is outside [", -rank, ", ", rank, "), the range for rank ",
                  rank);
  return axis < 0 ? axis + rank : axis;
}

// The same for several, which must differ; sorted.
inline std::vector<int64_t> checked_axes(const InferContext& context, std::vector<int64_t> axes,
                                         int64_t rank) {
  for (int64_t& axis : axes) axis = checked_axis(context, axis, rank);
  std::sort(axes.begin(), axes.end());
  const auto twin = std::adjacent_find(axes.begin(), axes.end());
  if (twin != axes.end()) context.error("axis ", *twin, " is named twice");
  return axes;
}

// A constant input that is a list of integers (or one integer).
inline std::vector<int64_t> constant_integers(const InferContext& context, size_t input) {
  const KnownTensor tensor = context.constant(input);
  if (tensor.shape().rank() > 1)
    context.error("input ", input, " has shape ", tensor.shape().to_string(),
                  ", expected a list of integers");
  if (tensor.dtype() == DType::kInt32)
    return {tensor.data<int32_t>().begin(), tensor.data<int32_t>().end()};
  if (tensor.dtype() != DType::kInt64)
    context.error("input ", input, " is ", name_of(tensor.dtype()), ", expected int64");
  return {tensor.data<int64_t>().begin(), tensor.data<int64_t>().end()};
}

// "axes", which are input 1 from opset `inputs_since` on and an attribute before; nothing if the
// node has none.
inline std::optional<std::vector<int64_t>> optional_axes(const InferContext& context,
                                                         int64_t inputs_since) {
  if (context.node().opset >= inputs_since) {
    if (context.attributes().has("axes"))
      context.error("opset ", context.node().opset, " takes axes as input 1, not as an attribute");
    if (!context.has_input(1)) return std::nullopt;
    return constant_integers(context, 1);
  }
  if (context.has_input(1))
    context.error("opset ", context.node().opset, " takes axes as an attribute, not as an input");
  if (!context.attributes().has("axes")) return std::nullopt;
  return context.attributes().integers("axes", {});
}

}  // namespace sanderling
