#include <numeric>

#include "ops/axes.h"
#include "ops/coordinates.h"
#include "ops/copy_step.h"

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
  move_elements(context, 0, [&](const Coordinates& at) {
    int64_t offset = 0;
    for (size_t axis = 0; axis < perm.size(); ++axis)
      offset += at[static_cast<int64_t>(axis)] * strides[static_cast<size_t>(perm[axis])];
    return offset;
  });
}

void plan(PlanContext& context) {
  const std::vector<int64_t> strides = context.input(0).shape.strides();
  std::vector<int64_t> from;
  for (int64_t axis : permutation(context)) from.push_back(strides[static_cast<size_t>(axis)]);
  context.emit(run_copy,
               StridedCopy(context.input(0).dtype, axes_to(context.output(0).shape, from)));
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
                                .view_if = keeps_order,
                                .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
