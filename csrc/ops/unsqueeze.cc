#include "ops/axes.h"
#include "ops/copy.h"

namespace sanderling {
namespace {

constexpr int64_t kAxesAreInputSince = 13;

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  const auto given = optional_axes(context, kAxesAreInputSince);
  if (!given) context.error("has no axes");
  const int64_t rank = x.shape.rank() + static_cast<int64_t>(given->size());
  const std::vector<int64_t> axes = checked_axes(context, *given, rank);
  std::vector<int64_t> dims = x.shape.dims();
  for (int64_t axis : axes) dims.insert(dims.begin() + axis, 1);
  context.set_output(0, x.dtype, checked_shape(context, std::move(dims)));
}

SANDERLING_OPERATOR(unsqueeze)({.name = "Unsqueeze",
                                .since_opset = 7,
                                .max_inputs = 2,
                                .infer = infer,
                                .reference = copy_input,
                                .view = true});

}  // namespace
}  // namespace sanderling
