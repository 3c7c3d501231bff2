// What Abs, Neg and Sign share: one function of each number, in its own type.
#pragma once

#include "ops/element_types.h"
#include "ops/map_elements.h"
#include "ops/node_checks.h"

namespace sanderling {

template <typename Function>
void reference_unary_number(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
      context.out<T>(0)[i] = Function{}(context.in<T>(0)[i]);
  });
}

// For the types that models have on their way; others are the reference's.
template <typename Function>
void plan_unary_number(PlanContext& context) {
  switch (context.input(0).dtype) {
    case DType::kFloat32:
      return emit_map<float>(context, Function{}, kStreamGrain);
    case DType::kInt32:
      return emit_map<int32_t>(context, Function{}, kStreamGrain);
    case DType::kInt64:
      return emit_map<int64_t>(context, Function{}, kStreamGrain);
    default:
      return;
  }
}

// 0 - x; integers wrap around, as NumPy's do.
template <typename T>
T negated(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return -x;
  else
    return wrapping(T{0}, x, [](auto zero, auto y) { return zero - y; });
}

}  // namespace sanderling
