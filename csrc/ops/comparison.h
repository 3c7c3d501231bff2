// What Equal, Greater, Less and their like share.
#pragma once

#include "ops/element_types.h"
#include "ops/pairs.h"

namespace sanderling {

inline void infer_comparison(InferContext& context) {
  require_number(context, 0);
  require_same_dtype(context, 0, 1);
  context.set_output(0, DType::kBool, broadcast_inputs(context));
}

// Compare is std::less<> or one of its like.
template <typename Compare>
void reference_comparison(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    reference_pairs<T, T, bool>(context, Compare{});
  });
}

// Types that models compare on their way; others are the reference's.
template <typename Compare>
void plan_comparison(PlanContext& context) {
  switch (context.input(0).dtype) {
    case DType::kFloat32:
      return emit_pairs<float, float, bool>(context, Compare{});
    case DType::kInt32:
      return emit_pairs<int32_t, int32_t, bool>(context, Compare{});
    case DType::kInt64:
      return emit_pairs<int64_t, int64_t, bool>(context, Compare{});
    default:
      return;
  }
}

}  // namespace sanderling
