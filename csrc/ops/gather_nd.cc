#include "ops/coordinates.h"
#include "ops/gather_blocks.h"
#include "ops/index_tuples.h"

namespace sanderling {
namespace {

constexpr int64_t kBatchDimsSince = 12;

IndexTuples tuples_of(const InferContext& context) {
  const bool batched = context.node().opset >= kBatchDimsSince;
  return {context, batched ? context.attributes().integer("batch_dims", 0) : 0};
}

void infer(InferContext& context) {
  const IndexTuples tuples = tuples_of(context);
  const Shape& data = context.input(0).shape;
  const Shape& indices = context.input(1).shape;
  std::vector<int64_t> dims(indices.dims().begin(), indices.dims().end() - 1);
  dims.insert(dims.end(), data.dims().begin() + tuples.batch_dims + tuples.size, data.dims().end());
  context.set_output(0, context.input(0).dtype, checked_shape(context, std::move(dims)));
}

void reference(const ReferenceContext& context) {
  const IndexTuples tuples = tuples_of(context);
  const std::vector<int64_t> strides = context.output(0).shape.strides();
  visit_indices(context.input(1).dtype, context.raw_input(1), [&](const auto* indices) {
    move_elements(context, 0, [&](const Coordinates& at) {
      const int64_t i = at.offset(strides);
      return tuples.offset(indices, i / tuples.slice) + i % tuples.slice;
    });
  });
}

struct Step {
  IndexTuples tuples;
  size_t width;  // bytes of an element
};

template <typename T>
void run(const Step& step, const StepArgs& args) {
  const IndexTuples& tuples = step.tuples;
  tuples.ranges.check(args.inputs[1], *args.workers);
  const auto* const x = static_cast<const std::byte*>(args.inputs[0]);
  const auto* const indices = static_cast<const T*>(args.inputs[1]);
  gather_blocks(*args.workers, tuples.batches * tuples.per_batch,
                static_cast<size_t>(tuples.slice) * step.width, args.outputs[0], [&](int64_t i) {
                  return x + static_cast<size_t>(tuples.offset(indices, i)) * step.width;
                });
}

void plan(PlanContext& context) {
  Step step{tuples_of(context), size_of(context.input(0).dtype)};
  visit_indices(context.input(1).dtype, nullptr, [&](const auto* type) {
    context.emit(run<std::remove_cvref_t<decltype(*type)>>, std::move(step));
  });
}

SANDERLING_OPERATOR(gather_nd)({.name = "GatherND",
                                .since_opset = 11,
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .infer = infer,
                                .reference = reference,
                                .plan = plan,
                                .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
