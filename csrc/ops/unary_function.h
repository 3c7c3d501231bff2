// What operators share that apply one function to each float element.
#pragma once

#include <cmath>

#include "kernels/table.h"
#include "ops/float_functions.h"
#include "ops/map_elements.h"
#include "ops/node_checks.h"

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

template <float (*kFunction)(float)>
void plan_unary_function(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    emit_map<float>(context, [](float x) { return kFunction(x); });
}

// The kernel for float32: one of context.kernels(), and its name.
inline void plan_unary_kernel(PlanContext& context,
                              void (*kernel)(const float* x, float* y, int64_t count),
                              const char* name) {
  if (context.input(0).dtype == DType::kFloat32) emit_map_ranges(context, kernel, name);
}

// x sigmoid(factor x).
inline void plan_swish(PlanContext& context, float factor) {
  if (context.input(0).dtype == DType::kFloat32)
    emit_map_ranges(
        context,
        [kernel = context.kernels().swish_f32, factor](const float* x, float* y, int64_t count) {
          kernel(x, y, count, factor);
        },
        "swish_f32");
}

// The same three for a function with attributes. A Function is made of a node, whose attributes it
// reads and checks, and has an operator() of double for the reference and one of float for plans.
template <typename Function>
void infer_function(InferContext& context) {
  infer_unary_function(context);
  Function{context};
}

template <typename Function>
void reference_function(const ReferenceContext& context) {
  reference_unary_function(context,
                           [function = Function(context)](double x) { return function(x); });
}

template <typename Function>
void plan_function(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32) emit_map<float>(context, Function(context));
}

}  // namespace sanderling
