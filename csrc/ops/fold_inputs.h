// What Max, Min, Sum and Mean share: any number of inputs, folded in their order.
#pragma once

#include <vector>

#include "ops/element_types.h"
#include "ops/pairs.h"

namespace sanderling {

inline void infer_fold(InferContext& context) {
  for (size_t i = 1; i < context.inputs(); ++i) require_same_dtype(context, 0, i);
  context.set_output(0, context.input(0).dtype, broadcast_inputs(context, context.inputs()));
}

// y = function(function(input 0, input 1), input 2)... / divisor in the type Sum, for elements of
// type T.
template <typename T, typename Sum, typename Function>
void reference_fold(const ReferenceContext& context, Function function, Sum divisor = 1) {
  const Shape& shape = context.output(0).shape;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    Sum sum{};
    for (size_t k = 0; k < context.inputs(); ++k) {
      const T next = context.in<T>(k)[broadcast_offset(shape, context.input(k).shape, i)];
      sum = k == 0 ? static_cast<Sum>(next) : function(sum, static_cast<Sum>(next));
    }
    context.out<T>(0)[i] = static_cast<T>(sum / divisor);
  }
}

// Max and Min: of any type, in that type.
inline void infer_number_fold(InferContext& context) {
  require_number(context, 0);
  infer_fold(context);
}

template <typename Function>
void reference_number_fold(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    reference_fold<T, T>(context, Function{});
  });
}

template <typename T, typename Function>
struct FoldStep {
  BroadcastRuns<3> first;            // the output, inputs 0 and 1
  std::vector<BroadcastWalk> later;  // the output and input 2, 3, ...
  Function function;
  T divisor;
};

template <typename T, typename Function>
void run_fold(const FoldStep<T, Function>& step, const StepArgs& args) {
  const auto input = [&](size_t i) { return static_cast<const T*>(args.inputs[i]); };
  auto* y = static_cast<T*>(args.outputs[0]);
  const Function function = step.function;
  const auto fold_range = [&](int64_t begin, int64_t end) {
    step.first(begin, end, [&](int64_t at, const auto& offsets, int64_t count) {
      apply_to_run(function, input(0) + offsets[1], step.first.step(1), input(1) + offsets[2],
                   step.first.step(2), y + at, count);
    });
    for (size_t k = 0; k < step.later.size(); ++k) {
      const BroadcastWalk& walk = step.later[k];
      walk(begin, end, [&](int64_t at, int64_t, int64_t offset, int64_t count) {
        apply_to_run(function, y + at, 1, input(k + 2) + offset, walk.b_step(), y + at, count);
      });
    }
    if (step.divisor != 1)
      for (int64_t i = begin; i < end; ++i) y[i] /= step.divisor;
  };
  for_each_range(*args.workers, step.first.elements(), kStreamGrain, fold_range);
}

template <typename T, typename Function>
void emit_fold(PlanContext& context, Function function, T divisor = 1) {
  if (context.inputs() < 2) return;
  const Shape& shape = context.output(0).shape;
  FoldStep<T, Function> step{
      BroadcastRuns<3>({&shape, &context.input(0).shape, &context.input(1).shape}),
      {},
      function,
      divisor};
  for (size_t k = 2; k < context.inputs(); ++k)
    step.later.emplace_back(shape, context.input(k).shape);
  context.emit(run_fold<T, Function>, std::move(step));
}

// emit_fold for the types that models fold on their way; others are the reference's.
template <typename Function>
void plan_fold(PlanContext& context, Function function) {
  switch (context.input(0).dtype) {
    case DType::kFloat32:
      return emit_fold<float>(context, function);
    case DType::kInt32:
      return emit_fold<int32_t>(context, function);
    case DType::kInt64:
      return emit_fold<int64_t>(context, function);
    default:
      return;
  }
}

}  // namespace sanderling
