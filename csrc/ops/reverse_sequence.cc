#include "ops/coordinates.h"
#include "ops/gather_blocks.h"
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

void check_lengths(const std::string& node, const int64_t* lengths, int64_t sequences,
                   int64_t longest) {
  for (int64_t i = 0; i < sequences; ++i)
    if (lengths[i] < 0 || lengths[i] > longest)
      fail(ErrorCode::kModel, node, ": sequence_lens has the value ", lengths[i],
           ", expected 0 to ", longest);
}

std::string name_of_node(const InferContext& context) {
  return cat("[", context.node().op, "] node '", context.node().name, "'");
}

void reference(const ReferenceContext& context) {
  const Shape& shape = context.input(0).shape;
  const int64_t time = time_axis(context), batch = 1 - time;
  const auto* const lengths = context.in<int64_t>(1);
  check_lengths(name_of_node(context), lengths, shape[batch], shape[time]);
  const std::vector<int64_t> strides = shape.strides();
  move_elements(context, 0, [&](Coordinates at) {
    const int64_t length = lengths[at[batch]];
    if (at[time] < length) at[time] = length - 1 - at[time];
    return at.offset(strides);
  });
}

// What a sequence has at one time is a block of memory.
struct Step {
  std::string node;
  int64_t times, sequences;
  bool time_first;
  size_t block_bytes;
};

void run(const Step& step, const StepArgs& args) {
  const auto* const lengths = static_cast<const int64_t*>(args.inputs[1]);
  check_lengths(step.node, lengths, step.sequences, step.times);
  const auto* const x = static_cast<const std::byte*>(args.inputs[0]);
  const int64_t inner = step.time_first ? step.sequences : step.times;
  gather_blocks(*args.workers, step.times * step.sequences, step.block_bytes, args.outputs[0],
                [&](int64_t i) {
                  const int64_t time = step.time_first ? i / inner : i % inner;
                  const int64_t length = lengths[step.time_first ? i % inner : i / inner];
                  const int64_t mirrored = time < length ? length - 1 - time : time;
                  const int64_t from = i + (mirrored - time) * (step.time_first ? inner : 1);
                  return x + static_cast<size_t>(from) * step.block_bytes;
                });
}

void plan(PlanContext& context) {
  const TensorType& x = context.input(0);
  const int64_t time = time_axis(context);
  context.emit(run, Step{.node = name_of_node(context),
                         .times = x.shape[time],
                         .sequences = x.shape[1 - time],
                         .time_first = time == 0,
                         .block_bytes = static_cast<size_t>(x.shape.elements(2, x.shape.rank())) *
                                        size_of(x.dtype)});
}

SANDERLING_OPERATOR(reverse_sequence)({.name = "ReverseSequence",
                                       .since_opset = 10,
                                       .min_inputs = 2,
                                       .max_inputs = 2,
                                       .infer = infer,
                                       .reference = reference,
                                       .plan = plan,
                                       .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
