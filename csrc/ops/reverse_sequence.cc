#include "ops/coordinates.h"
#include "ops/node_checks.h"

namespace sanderling {
namespace {

int64_t axis_named(const InferContext& context, const char* name, int64_t otherwise) {
  const int64_t axis = context.attributes().integer(name, otherwise);
  if (axis != 0 && axis != 1) context.error(name, " is ", axis, ", expected 0 or 1");
  return axis;
}

int64_t time_axis(const InferContext& context) { return axis_named(context, "time_axis", 0); }

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  if (x.shape.rank() < 2)
    context.error("input 0 has shape ", x.shape.to_string(), ", expected a batch and a time axis");
  const int64_t batch_axis = axis_named(context, "batch_axis", 1);
  if (batch_axis == time_axis(context))
    context.error("batch_axis and time_axis are both ", batch_axis, "; they must differ");
  if (context.input(1).dtype != DType::kInt64)
    context.error("sequence_lens is ", name_of(context.input(1).dtype), ", expected int64");
  if (!(context.input(1).shape == Shape{x.shape[batch_axis]}))
    context.error("sequence_lens has shape ", context.input(1).shape.to_string(),
                  ", expected one for each of ", x.shape[batch_axis], " sequences");
  context.set_output(0, x.dtype, x.shape);
}

void reference(const ReferenceContext& context) {
  const Shape& shape = context.input(0).shape;
  const int64_t time = time_axis(context), batch = 1 - time;
  const auto* const lengths = context.in<int64_t>(1);
  for (int64_t i = 0; i < shape[batch]; ++i)
    if (lengths[i] < 0 || lengths[i] > shape[time])
      context.error("sequence_lens has the value ", lengths[i], ", expected 0 to ", shape[time]);
  const std::vector<int64_t> strides = shape.strides();
  move_elements(context, 0, [&](Coordinates at) {
    const int64_t length = lengths[at[batch]];
    if (at[time] < length) at[time] = length - 1 - at[time];
    return at.offset(strides);
  });
}

SANDERLING_OPERATOR(reverse_sequence)({.name = "ReverseSequence",
                                       .since_opset = 10,
                                       .min_inputs = 2,
                                       .max_inputs = 2,
                                       .infer = infer,
                                       .reference = reference,
                                       .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
