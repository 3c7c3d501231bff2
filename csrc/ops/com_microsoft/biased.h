// What operators share that add a bias along the last dimension before all else.
#pragma once

#include <algorithm>

#include "kernels/table.h"
#include "ops/broadcast.h"
#include "ops/map_elements.h"
#include "ops/node_checks.h"

namespace sanderling {

// Input 1, where it is given, has one value per index of the last dimension of input 0.
inline void infer_biased(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  const Shape& x = context.input(0).shape;
  if (context.has_input(1)) {
    require_same_dtype(context, 0, 1);
    const Shape& bias = context.input(1).shape;
    if (x.rank() == 0 || bias.rank() != 1 || bias[0] != x[x.rank() - 1])
      context.error("the bias has shape ", bias.to_string(), ", the input has ", x.to_string(),
                    "; the bias must have one value per index of the last dimension");
  }
  context.set_output(0, context.input(0).dtype, x);
}

// function(x + bias) in double, rounded once to float32.
template <typename Function>
void reference_biased(const ReferenceContext& context, Function function) {
  const auto of_type = [&](auto zero) {
    using T = decltype(zero);
    const int64_t count = context.output(0).shape.elements();
    for (int64_t i = 0; i < count; ++i) {
      double x = context.in<T>(0)[i];
      if (context.has_input(1)) x += context.in<T>(1)[i % context.input(1).shape[0]];
      context.out<T>(0)[i] = static_cast<T>(function(x));
    }
  };
  if (context.input(0).dtype == DType::kFloat32)
    of_type(float{});
  else
    of_type(double{});
}

struct BiasedStep {
  BroadcastWalk walk;
  const KernelTable* kernels;
  void (*function)(const float* x, float* y, int64_t count);
};

inline void run_biased(const BiasedStep& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  const auto* bias = static_cast<const float*>(args.inputs[1]);
  auto* y = static_cast<float*>(args.outputs[0]);
  // Sums are in the first-level cache where the function reads them.
  const int64_t count = step.walk.elements(),
                ranges = (count + kFunctionGrain - 1) / kFunctionGrain;
  for_each_range(*args.workers, ranges, 1, [&](int64_t first, int64_t last) {
    for (int64_t range = first; range < last; ++range) {
      const int64_t begin = range * kFunctionGrain, end = std::min(count, begin + kFunctionGrain);
      step.walk(begin, end, [&](int64_t at_y, int64_t at_x, int64_t at_bias, int64_t run) {
        step.kernels->add_f32({.count = run,
                               .a = x + at_x,
                               .a_step = step.walk.a_step(),
                               .b = bias + at_bias,
                               .b_step = step.walk.b_step(),
                               .y = y + at_y});
      });
      step.function(y + begin, y + begin, end - begin);
    }
  });
}

// The same for float32 by a kernel, one of context.kernels(), and its name.
inline void plan_biased(PlanContext& context,
                        void (*function)(const float* x, float* y, int64_t count),
                        const char* name) {
  if (context.input(0).dtype != DType::kFloat32) return;
  if (context.has_input(1))
    context.emit(
        run_biased,
        BiasedStep{{context.input(0).shape, context.input(1).shape}, &context.kernels(), function},
        name);
  else
    emit_map_ranges(context, function, name);
}

}  // namespace sanderling
