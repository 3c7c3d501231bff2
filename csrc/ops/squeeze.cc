#include "ops/axes.h"
#include "ops/copy.h"

namespace sanderling {
namespace {

constexpr int64_t kAxesAreInputSince = 13;

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  const auto given = optional_axes(context, kAxesAreInputSince);
  std::vector<int64_t> axes;
  if (given) axes = checked_axes(context, *given, x.shape.rank());
  std::vector<int64_t> dims;
  for (int64_t axis = 0; axis < x.shape.rank(); ++axis) {
    const bool named = std::binary_search(axes.begin(), axes.end(), axis);
    if (named && x.shape[axis] != 1)
      context.error("axis ", axis, " of shape ", x.shape.to_string(), " has extent ", x.shape[axis],
                    ", only 1 can be squeezed");
    if (given ? !named : x.shape[axis] != 1) dims.push_back(x.shape[axis]);
  }
  context.set_output(0, x.dtype, Shape(std::move(dims)));
}

SANDERLING_OPERATOR(squeeze)({.name = "Squeeze",
                              .since_opset = 7,
                              .max_inputs = 2,
                              .infer = infer,
                              .reference = copy_input,
                              .view = true});

}  // namespace
}  // namespace sanderling
