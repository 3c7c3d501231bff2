#include "ops/axes.h"
#include "ops/coordinates.h"
#include "ops/gather_blocks.h"
#include "ops/index_data.h"

namespace sanderling {
namespace {

int64_t gather_axis(const InferContext& context) {
  return checked_axis(context, context.attributes().integer("axis", 0),
                      context.input(0).shape.rank());
}

IndexRanges ranges_of(const InferContext& context) {
  return {context, 1, {context.input(0).shape[gather_axis(context)]}};
}

void infer(InferContext& context) {
  const Shape& data = context.input(0).shape;
  const Shape& indices = context.input(1).shape;
  require_index_dtype(context, 1);
  const int64_t axis = gather_axis(context);
  ranges_of(context).check_known(context);
  std::vector<int64_t> dims(data.dims().begin(), data.dims().begin() + axis);
  dims.insert(dims.end(), indices.dims().begin(), indices.dims().end());
  dims.insert(dims.end(), data.dims().begin() + axis + 1, data.dims().end());
  context.set_output(0, context.input(0).dtype, checked_shape(context, std::move(dims)));
}

void reference(const ReferenceContext& context) {
  ranges_of(context).check_known(context);
  const Shape& data = context.input(0).shape;
  const int64_t axis = gather_axis(context), rank = context.input(1).shape.rank();
  const std::vector<int64_t> strides = data.strides();
  const std::vector<int64_t> index_strides = context.input(1).shape.strides();
  visit_indices(context.input(1).dtype, context.raw_input(1), [&](const auto* indices) {
    move_elements(context, 0, [&](const Coordinates& at) {
      int64_t which = 0, offset = 0;
      for (int64_t i = 0; i < rank; ++i)
        which += at[axis + i] * index_strides[static_cast<size_t>(i)];
      for (int64_t i = 0; i < data.rank(); ++i) {
        const int64_t here = i < axis    ? at[i]
                             : i == axis ? from_start(indices[which], data[axis])
                                         : at[i + rank - 1];
        offset += here * strides[static_cast<size_t>(i)];
      }
      return offset;
    });
  });
}

// One block per index and per element of the axes before the gathered one.
struct Step {
  IndexRanges ranges;
  int64_t outer, extent;
  size_t block_bytes;
};

template <typename T>
void run(const Step& step, const StepArgs& args) {
  step.ranges.check(args.inputs[1], *args.workers);
  const auto* const x = static_cast<const std::byte*>(args.inputs[0]);
  const auto* const indices = static_cast<const T*>(args.inputs[1]);
  const int64_t count = step.ranges.count;
  const auto block = [&](int64_t outer, int64_t which) {
    const int64_t at = outer * step.extent + from_start(indices[which], step.extent);
    return x + static_cast<size_t>(at) * step.block_bytes;
  };
  if (step.outer == 1)  // embeddings: no division
    gather_blocks(*args.workers, count, step.block_bytes, args.outputs[0],
                  [&](int64_t i) { return block(0, i); });
  else
    gather_blocks(*args.workers, step.outer * count, step.block_bytes, args.outputs[0],
                  [&](int64_t i) { return block(i / count, i % count); });
}

void plan(PlanContext& context) {
  const TensorType& data = context.input(0);
  const int64_t axis = gather_axis(context);
  Step step{.ranges = ranges_of(context),
            .outer = data.shape.elements(0, axis),
            .extent = data.shape[axis],
            .block_bytes = static_cast<size_t>(data.shape.elements(axis + 1, data.shape.rank())) *
                           size_of(data.dtype)};
  visit_indices(context.input(1).dtype, nullptr, [&](const auto* type) {
    context.emit(run<std::remove_cvref_t<decltype(*type)>>, std::move(step));
  });
}

SANDERLING_OPERATOR(gather)({.name = "Gather",
                             .since_opset = 1,
                             .min_inputs = 2,
                             .max_inputs = 2,
                             .infer = infer,
                             .reference = reference,
                             .plan = plan,
                             .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
