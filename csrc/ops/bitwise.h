// What the operators on the bits of integers share.
#pragma once

#include <type_traits>

#include "ops/element_types.h"
#include "ops/pairs.h"

namespace sanderling {

inline void require_integer(const InferContext& context, size_t input) {
  require_dtype(context, input,
                {DType::kUInt8, DType::kInt8, DType::kUInt16, DType::kInt16, DType::kUInt32,
                 DType::kInt32, DType::kUInt64, DType::kInt64});
}

// visit_number where require_integer has passed.
template <typename Visit>
void visit_integer(DType dtype, const Visit& visit) {
  visit_number(dtype, [&](auto zero) {
    if constexpr (std::is_integral_v<decltype(zero)>) visit(zero);
  });
}

inline void infer_bitwise(InferContext& context) {
  require_integer(context, 0);
  require_same_dtype(context, 0, 1);
  context.set_output(0, context.input(0).dtype, broadcast_inputs(context));
}

// Combine is std::bit_and<> or one of its like.
template <typename Combine>
void reference_bitwise(const ReferenceContext& context) {
  visit_integer(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    reference_pairs<T, T, T>(context, [](T a, T b) { return static_cast<T>(Combine{}(a, b)); });
  });
}

template <typename Combine>
void plan_bitwise(PlanContext& context) {
  visit_integer(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    emit_pairs<T, T, T>(context, [](T a, T b) { return static_cast<T>(Combine{}(a, b)); });
  });
}

}  // namespace sanderling
