#include <cstring>

#include "ops/copy.h"
#include "ops/index_tuples.h"
#include "ops/scatter_reduction.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  const TensorType& data = context.input(0);
  const IndexTuples tuples(context, 0);
  scatter_reduction_of(context);
  require_same_dtype(context, 0, 2);
  const Shape& indices = context.input(1).shape;
  std::vector<int64_t> dims(indices.dims().begin(), indices.dims().end() - 1);
  dims.insert(dims.end(), data.shape.dims().begin() + tuples.size, data.shape.dims().end());
  if (dims != context.input(2).shape.dims())
    context.error("updates have shape ", context.input(2).shape.to_string(), ", expected ",
                  checked_shape(context, std::move(dims)).to_string(), " for data of shape ",
                  data.shape.to_string(), " and indices of shape ", indices.to_string());
  context.set_output(0, data.dtype, data.shape);
}

// The updates [begin, end) of each slice, in the order of the tuples: of several for one element
// the last counts, or each is added.
template <typename T, typename Index>
void scatter(const IndexTuples& tuples, ScatterReduction reduction, const Index* indices,
             const T* updates, T* y, int64_t begin, int64_t end) {
  for (int64_t tuple = 0; tuple < tuples.per_batch; ++tuple) {
    T* const to = y + tuples.offset(indices, tuple);
    const T* const from = updates + tuple * tuples.slice;
    if (reduction == ScatterReduction::kNone)
      std::copy(from + begin, from + end, to + begin);
    else
      for (int64_t i = begin; i < end; ++i) to[i] = reduce(reduction, to[i], from[i]);
  }
}

void reference(const ReferenceContext& context) {
  const IndexTuples tuples(context, 0);
  const ScatterReduction reduction = scatter_reduction_of(context);
  copy_input(context);
  if (context.output(0).shape.elements() == 0) return;
  visit_reduced(context.input(0).dtype, reduction, [&](auto zero) {
    using T = decltype(zero);
    visit_indices(context.input(1).dtype, context.raw_input(1), [&](const auto* indices) {
      scatter(tuples, reduction, indices, static_cast<const T*>(context.raw_input(2)),
              static_cast<T*>(context.raw_output(0)), 0, tuples.slice);
    });
  });
}

struct Step {
  IndexTuples tuples;
  ScatterReduction reduction;
  size_t bytes;
};

// Threads share the slices, not the tuples: two of them may name the same slice.
template <typename T, typename Index>
void run(const Step& step, const StepArgs& args) {
  step.tuples.ranges.check(args.inputs[1], *args.workers);
  const auto* const x = static_cast<const std::byte*>(args.inputs[0]);
  auto* const y = static_cast<std::byte*>(args.outputs[0]);
  const auto bytes = static_cast<int64_t>(step.bytes);
  for_each_range(*args.workers, bytes, 4 * kStreamGrain, [&](int64_t begin, int64_t end) {
    std::memcpy(y + begin, x + begin, static_cast<size_t>(end - begin));
  });
  const int64_t grain =
      std::max<int64_t>(64, kStreamGrain / std::max<int64_t>(1, step.tuples.per_batch));
  for_each_range(*args.workers, step.tuples.slice, grain, [&](int64_t begin, int64_t end) {
    scatter(step.tuples, step.reduction, static_cast<const Index*>(args.inputs[1]),
            static_cast<const T*>(args.inputs[2]), static_cast<T*>(args.outputs[0]), begin, end);
  });
}

void plan(PlanContext& context) {
  const ScatterReduction reduction = scatter_reduction_of(context);
  Step step{IndexTuples(context, 0), reduction, context.input(0).bytes()};
  visit_reduced(context.input(0).dtype, reduction, [&](auto zero) {
    visit_indices(context.input(1).dtype, nullptr, [&](const auto* type) {
      context.emit(run<decltype(zero), std::remove_cvref_t<decltype(*type)>>, std::move(step));
    });
  });
}

SANDERLING_OPERATOR(scatter_nd)({.name = "ScatterND",
                                 .since_opset = 11,
                                 .min_inputs = 3,
                                 .max_inputs = 3,
                                 .infer = infer,
                                 .reference = reference,
                                 .plan = plan,
                                 .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
