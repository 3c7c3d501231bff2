// The step of operators that map each element of input 0 to one element of output 0.
#pragma once

#include "graph/operator.h"
#include "ops/parallel.h"

namespace sanderling {

template <typename Function>
struct MapStep {
  int64_t count;
  int64_t grain;
  Function function;
};

template <typename X, typename Y, typename Function>
void run_map(const MapStep<Function>& step, const StepArgs& args) {
  const auto* x = static_cast<const X*>(args.inputs[0]);
  auto* y = static_cast<Y*>(args.outputs[0]);
  for_each_range(*args.workers, step.count, step.grain, [&](int64_t begin, int64_t end) {
    const Function function = step.function;  // a copy, which no y[i] can be part of
    for (int64_t i = begin; i < end; ++i) y[i] = function(x[i]);
  });
}

// y = function(x), for input 0 of type X and output 0 of type Y.
template <typename X, typename Y = X, typename Function>
void emit_map(PlanContext& context, Function function, int64_t grain = kFunctionGrain) {
  context.emit(run_map<X, Y, Function>,
               MapStep<Function>{context.input(0).shape.elements(), grain, function});
}

template <typename Function>
struct MapRangesStep {
  int64_t count;
  Function function;
};

template <typename Function>
void run_map_ranges(const MapRangesStep<Function>& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  for_each_range(*args.workers, step.count, kFunctionGrain, [&](int64_t begin, int64_t end) {
    step.function(x + begin, y + begin, end - begin);
  });
}

// function(x, y, count) for ranges of input 0 and output 0, both float32. It calls `kernel`.
template <typename Function>
void emit_map_ranges(PlanContext& context, Function function, const char* kernel) {
  context.emit(run_map_ranges<Function>,
               MapRangesStep<Function>{context.input(0).shape.elements(), function}, kernel);
}

}  // namespace sanderling
