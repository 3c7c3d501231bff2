// What operators share that apply one function to each float element.
#pragma once

#include "ops/node_checks.h"
#include "ops/parallel.h"

namespace sanderling {

inline void infer_unary_function(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

// function(double) for each element, rounded once to float32: so tables made from it (QLookup) hold
// the same codes whatever the C library's float functions give in the last bit.
template <typename Function>
void reference_unary_function(const ReferenceContext& context, Function function) {
  const int64_t count = context.output(0).shape.elements();
  if (context.input(0).dtype == DType::kFloat64) {
    for (int64_t i = 0; i < count; ++i)
      context.out<double>(0)[i] = function(context.in<double>(0)[i]);
  } else {
    for (int64_t i = 0; i < count; ++i)
      context.out<float>(0)[i] =
          static_cast<float>(function(static_cast<double>(context.in<float>(0)[i])));
  }
}

struct UnaryFunctionStep {
  int64_t count;
};

template <float (*kFunction)(float)>
void run_unary_function(const UnaryFunctionStep& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  for_each_range(*args.workers, step.count, kFunctionGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = kFunction(x[i]);
  });
}

template <float (*kFunction)(float)>
void plan_unary_function(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    context.emit(run_unary_function<kFunction>,
                 UnaryFunctionStep{context.input(0).shape.elements()});
}

}  // namespace sanderling
