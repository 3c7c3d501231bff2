// Conversion of elements between any two types, as Cast defines it.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "graph/operator.h"
#include "ops/element_types.h"

namespace sanderling {

// Calls visit(T{}) for the C++ type T of any dtype, small ones included.
template <typename Visit>
void visit_element(DType dtype, const Visit& visit) {
  switch (dtype) {
    case DType::kBool:
      return visit(bool{});
    case DType::kFloat16:
      return visit(Float16{});
    case DType::kBFloat16:
      return visit(BFloat16{});
    case DType::kFloat8E4M3FN:
      return visit(Float8E4M3FN{});
    case DType::kFloat8E4M3FNUZ:
      return visit(Float8E4M3FNUZ{});
    case DType::kFloat8E5M2:
      return visit(Float8E5M2{});
    case DType::kFloat8E5M2FNUZ:
      return visit(Float8E5M2FNUZ{});
    case DType::kFloat8E8M0:
      return visit(Float8E8M0{});
    case DType::kFloat4E2M1:
      return visit(Float4E2M1{});
    case DType::kUInt4:
      return visit(UInt4{});
    case DType::kInt4:
      return visit(Int4{});
    case DType::kUInt2:
      return visit(UInt2{});
    case DType::kInt2:
      return visit(Int2{});
    default:
      return visit_number(dtype, visit);
  }
}

template <typename T>
constexpr bool is_small_float = requires { T::format; };
template <typename T>
constexpr bool is_small_integer = requires { T::highest; };

// An element as C++ has arithmetic for it: exact, float or double for floats, int64 or uint64 for
// integers.
template <typename T>
auto widen_element(T x) {
  if constexpr (is_small_float<T>)
    return static_cast<float>(x);
  else if constexpr (is_small_integer<T>)
    return static_cast<int64_t>(x.number());
  else if constexpr (std::is_same_v<T, uint64_t> || std::is_floating_point_v<T>)
    return x;
  else
    return static_cast<int64_t>(x);
}

// The integer part of x, within int64; NaN is 0.
inline int64_t truncate(double x) {
  if (std::isnan(x)) return 0;
  constexpr double kBeyond = 0x1p63;
  if (x >= kBeyond) return std::numeric_limits<int64_t>::max();
  if (x < -kBeyond) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(x);
}

// To integers: towards zero, then the low bits, as NumPy does; to bool: whether it is not 0.
// `saturate` is for floats of 8 bits (SmallFloat::from).
template <typename To, typename From>
To convert_element(From from, bool saturate) {
  const auto x = widen_element(from);
  if constexpr (std::is_same_v<To, bool>) {
    return x != 0;
  } else if constexpr (is_small_float<To>) {
    return To::from(static_cast<double>(x), saturate);
  } else if constexpr (std::is_floating_point_v<To>) {
    return static_cast<To>(x);
  } else {
    uint64_t bits = 0;
    if constexpr (std::is_floating_point_v<decltype(x)>) {
      constexpr auto kBeyond = static_cast<decltype(x)>(0x1p63);
      bits = std::is_same_v<To, uint64_t> && x >= kBeyond
                 ? static_cast<uint64_t>(truncate(static_cast<double>(x - kBeyond))) +
                       (uint64_t{1} << 63)
                 : static_cast<uint64_t>(truncate(static_cast<double>(x)));
    } else {
      bits = static_cast<uint64_t>(x);
    }
    if constexpr (is_small_integer<To>)
      return To::wrap(static_cast<int64_t>(bits));
    else
      return static_cast<To>(bits);
  }
}

}  // namespace sanderling
