// What operators share that add a bias along the last dimension before all else.
#pragma once

#include "ops/map_elements.h"
#include "ops/pairs.h"

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

// The same in float.
template <typename Function>
void plan_biased(PlanContext& context, Function function) {
  if (context.input(0).dtype != DType::kFloat32) return;
  if (context.has_input(1))
    emit_pairs<float, float, float>(
        context, [function](float x, float bias) { return function(x + bias); }, kFunctionGrain);
  else
    emit_map<float>(context, function);
}

}  // namespace sanderling
