#include "ops/reduction.h"

#include "ops/axes.h"

namespace sanderling {
namespace {

void set_reduced_output(InferContext& context, int64_t axes_are_input_since) {
  const TensorType& x = context.input(0);
  const std::vector<bool> reduced = reduced_axes(context, axes_are_input_since);
  const bool keep = context.attributes().integer("keepdims", 1) != 0;
  std::vector<int64_t> dims;
  for (int64_t axis = 0; axis < x.shape.rank(); ++axis) {
    if (!reduced[static_cast<size_t>(axis)])
      dims.push_back(x.shape[axis]);
    else if (keep)
      dims.push_back(1);
  }
  context.set_output(0, x.dtype, checked_shape(context, std::move(dims)));
}

}  // namespace

std::vector<bool> reduced_axes(const InferContext& context, int64_t axes_are_input_since) {
  const int64_t rank = context.input(0).shape.rank();
  const auto given = optional_axes(context, axes_are_input_since);
  const bool none_means_none = context.node().opset >= axes_are_input_since &&
                               context.attributes().integer("noop_with_empty_axes", 0) != 0;
  if (!given || given->empty())
    return std::vector<bool>(static_cast<size_t>(rank), !none_means_none);
  std::vector<bool> reduced(static_cast<size_t>(rank), false);
  for (int64_t axis : checked_axes(context, *given, rank))
    reduced[static_cast<size_t>(axis)] = true;
  return reduced;
}

void infer_reduction(InferContext& context, int64_t axes_are_input_since) {
  require_dtype(context, 0,
                {DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64, DType::kUInt32,
                 DType::kUInt64});
  set_reduced_output(context, axes_are_input_since);
}

void infer_extremum(InferContext& context) {
  require_dtype(context, 0,
                {DType::kFloat32, DType::kFloat64, DType::kInt8, DType::kInt32, DType::kInt64,
                 DType::kUInt8, DType::kUInt32, DType::kUInt64, DType::kBool});
  set_reduced_output(context, kReductionAxesAreInputSince);
}

int64_t reduced_index(const Shape& shape, const std::vector<bool>& reduced, int64_t index) {
  int64_t offset = 0, stride = 1;
  for (int64_t axis = shape.rank() - 1; axis >= 0; --axis) {
    if (!reduced[static_cast<size_t>(axis)]) {
      offset += index % shape[axis] * stride;
      stride *= shape[axis];
    }
    index /= shape[axis];
  }
  return offset;
}

ReductionWalk::ReductionWalk(const Shape& shape, const std::vector<bool>& reduced) {
  const std::vector<int64_t> strides = shape.strides();
  bool in_run = true, begun = false, last_reduced = false;
  for (int64_t axis = shape.rank() - 1; axis >= 0; --axis) {
    const auto i = static_cast<size_t>(axis);
    if (shape[axis] == 1) continue;
    if (reduced[i]) count *= shape[axis];
    const bool joins = begun && reduced[i] == last_reduced;
    Groups& groups = reduced[i] ? over : kept;
    if (!begun) {
      run = shape[axis];
      run_is_reduced = reduced[i];
    } else if (joins && in_run) {
      run *= shape[axis];
    } else {
      in_run = false;
      if (joins)
        groups.all[static_cast<size_t>(groups.count - 1)].extent *= shape[axis];
      else
        groups.all[static_cast<size_t>(groups.count++)] = {shape[axis], strides[i]};
      groups.elements *= shape[axis];
    }
    begun = true;
    last_reduced = reduced[i];
  }
}

ReductionStep reduction_step(const PlanContext& context, int64_t axes_are_input_since) {
  ReductionStep step{
      ReductionWalk(context.input(0).shape, reduced_axes(context, axes_are_input_since)),
      &context.kernels(), kReductionTile};
  // Few long rows are cut so that each thread has some, but by no less than 4 cache lines of float.
  constexpr int64_t kLeast = 64;
  const int64_t threads = context.threads();
  if (step.walk.kept.elements < threads) {
    const int64_t share = (step.walk.run / threads + kLeast - 1) / kLeast * kLeast;
    step.tile = std::clamp(share, kLeast, kReductionTile);
  }
  return step;
}

}  // namespace sanderling
