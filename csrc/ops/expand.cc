#include "ops/axes.h"
#include "ops/broadcast.h"
#include "ops/coordinates.h"
#include "ops/copy_step.h"

namespace sanderling {
namespace {

// Broadcasting goes both ways: an extent 1 in the wanted shape takes the input's.
void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  const Shape wanted = checked_shape(context, constant_integers(context, 1));
  for (int64_t i = 1; i <= std::min(x.shape.rank(), wanted.rank()); ++i) {
    const int64_t has = x.shape[x.shape.rank() - i], wants = wanted[wanted.rank() - i];
    if (has != wants && has != 1 && wants != 1)
      context.error("cannot expand ", x.to_string(), " to ", wanted.to_string(), ": ", has,
                    " against ", wants, ". Only an extent of 1 can be expanded");
  }
  context.set_output(0, x.dtype,
                     checked_shape(context, [&] { return broadcast(x.shape, wanted, "Expand"); }));
}

void reference(const ReferenceContext& context) {
  const Shape& from = context.input(0).shape;
  const Shape& to = context.output(0).shape;
  const std::vector<int64_t> strides = to.strides();
  move_elements(context, 0, [&](const Coordinates& at) {
    return broadcast_offset(to, from, at.offset(strides));
  });
}

void plan(PlanContext& context) {
  const Shape& shape = context.input(0).shape;
  const Shape& to = context.output(0).shape;
  std::vector<int64_t> from = shape.strides();
  for (size_t i = 0; i < from.size(); ++i)
    if (shape.dims()[i] == 1) from[i] = 0;
  from.insert(from.begin(), static_cast<size_t>(to.rank() - shape.rank()), 0);
  context.emit(run_copy, StridedCopy(context.input(0).dtype, axes_to(to, from)));
}

// Axes of extent 1 in front change no byte either.
bool keeps_all(const InferContext& context) {
  return context.input(0).shape.elements() == context.output_type(0).shape.elements();
}

SANDERLING_OPERATOR(expand)({.name = "Expand",
                             .since_opset = 8,
                             .min_inputs = 2,
                             .max_inputs = 2,
                             .infer = infer,
                             .reference = reference,
                             .plan = plan,
                             .view_if = keeps_all,
                             .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
