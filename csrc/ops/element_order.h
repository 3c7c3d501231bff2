// The order of elements for what picks or sorts.
#pragma once

#include "ops/node_checks.h"

namespace sanderling {

template <typename T>
bool is_nan(T x) {
  return x != x;
}

// Fails for what C++ has no order for.
inline void require_ordered(const InferContext& context, size_t input) {
  require_dtype(context, input,
                {DType::kFloat32, DType::kFloat64, DType::kUInt8, DType::kInt8, DType::kUInt16,
                 DType::kInt16, DType::kUInt32, DType::kInt32, DType::kUInt64, DType::kInt64});
}

// Whether a is picked before b, as by NumPy's argmax and argmin: NaN before every number, whichever
// comes first. A strict weak order.
template <bool kLargestFirst, typename T>
bool order_before(T a, T b) {
  if (is_nan(b)) return false;
  return is_nan(a) || (kLargestFirst ? a > b : a < b);
}

// Whether a is sorted before b, as by NumPy's sort: NaN is larger than every number. A strict weak
// order.
template <bool kLargestFirst, typename T>
bool sorts_before(T a, T b) {
  if constexpr (kLargestFirst) return order_before<true>(a, b);
  return !is_nan(a) && (is_nan(b) || a < b);
}

}  // namespace sanderling
