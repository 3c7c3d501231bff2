// One generic body for all element types of a tensor.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/dtype.h"
#include "core/error.h"

namespace sanderling {

// Calls visit(T{}) for the C++ type T of a dtype that C++ has arithmetic for. Floats of 16 bits are
// widened by a pass before operators see them, smaller types only by Cast and Dequantize.
template <typename Visit>
void visit_number(DType dtype, const Visit& visit) {
  switch (dtype) {
    case DType::kFloat32:
      return visit(float{});
    case DType::kFloat64:
      return visit(double{});
    case DType::kUInt8:
      return visit(uint8_t{});
    case DType::kInt8:
      return visit(int8_t{});
    case DType::kUInt16:
      return visit(uint16_t{});
    case DType::kInt16:
      return visit(int16_t{});
    case DType::kUInt32:
      return visit(uint32_t{});
    case DType::kInt32:
      return visit(int32_t{});
    case DType::kUInt64:
      return visit(uint64_t{});
    case DType::kInt64:
      return visit(int64_t{});
    default:
      fail(ErrorCode::kInternal, "numbers expected, not ", name_of(dtype));
  }
}

// Calls visit(T{}) for an unsigned type of as many bytes as one element of the dtype has: for what
// only moves elements.
template <typename Visit>
void visit_width(DType dtype, const Visit& visit) {
  switch (size_of(dtype)) {
    case 1:
      return visit(uint8_t{});
    case 2:
      return visit(uint16_t{});
    case 4:
      return visit(uint32_t{});
    case 8:
      return visit(uint64_t{});
  }
  fail(ErrorCode::kInternal, "no element type has ", size_of(dtype), " bytes");
}

// a + b and so on; integers wrap around as NumPy's do, which C++ leaves undefined for signed ones.
template <typename T, typename Operation>
T wrapping(T a, T b, Operation operation) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
    return static_cast<T>(operation(static_cast<U>(a), static_cast<U>(b)));
  } else {
    return operation(a, b);
  }
}

}  // namespace sanderling
