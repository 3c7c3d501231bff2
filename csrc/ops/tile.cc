#include "ops/axes.h"
#include "ops/coordinates.h"
#include "ops/copy_step.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  const std::vector<int64_t> repeats = constant_integers(context, 1);
  if (static_cast<int64_t>(repeats.size()) != x.shape.rank())
    context.error("repeats has ", repeats.size(), " values, input 0 has shape ",
                  x.shape.to_string(), "; each axis needs one");
  std::vector<int64_t> dims = x.shape.dims();
  for (size_t i = 0; i < dims.size(); ++i) {
    if (repeats[i] < 0 || (dims[i] > 0 && repeats[i] > Shape::kMaxElements / dims[i]))
      context.error("repeats has the value ", repeats[i], " for the extent ", dims[i],
                    ", expected 0 to ", Shape::kMaxElements / std::max<int64_t>(1, dims[i]));
    dims[i] *= repeats[i];
  }
  context.set_output(0, x.dtype, checked_shape(context, std::move(dims)));
}

void reference(const ReferenceContext& context) {
  const Shape& shape = context.input(0).shape;
  const std::vector<int64_t> strides = shape.strides();
  move_elements(context, 0, [&](const Coordinates& at) {
    int64_t offset = 0;
    for (int64_t axis = 0; axis < shape.rank(); ++axis)
      offset += at[axis] % shape[axis] * strides[static_cast<size_t>(axis)];
    return offset;
  });
}

// Each axis is two: which repetition, which element.
void plan(PlanContext& context) {
  const Shape& from = context.input(0).shape;
  const Shape& to = context.output(0).shape;
  const std::vector<int64_t> from_strides = from.strides(), to_strides = to.strides();
  std::vector<CopyAxis> axes;
  for (size_t i = 0; i < from_strides.size(); ++i) {
    const int64_t extent = from.dims()[i];
    axes.push_back({to.dims()[i] / extent, 0, extent * to_strides[i]});
    axes.push_back({extent, from_strides[i], to_strides[i]});
  }
  context.emit(run_copy, StridedCopy(context.input(0).dtype, axes));
}

bool keeps_all(const InferContext& context) {
  return context.input(0).shape == context.output_type(0).shape;
}

SANDERLING_OPERATOR(tile)({.name = "Tile",
                           .since_opset = 6,
                           .min_inputs = 2,
                           .max_inputs = 2,
                           .infer = infer,
                           .reference = reference,
                           .plan = plan,
                           .view_if = keeps_all,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
