#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/small_types.h"

namespace sanderling {

// The element types that tensors of the engine may have: ONNX's without strings and complex
// numbers. Elements of fewer than 8 bits take a byte each in memory.
enum class DType : uint8_t {
  kFloat32,
  kFloat64,
  kUInt8,
  kInt8,
  kInt32,
  kInt64,
  kBool,
  kUInt16,
  kInt16,
  kUInt32,
  kUInt64,
  kFloat16,
  kBFloat16,
  kFloat8E4M3FN,
  kFloat8E4M3FNUZ,
  kFloat8E5M2,
  kFloat8E5M2FNUZ,
  kFloat8E8M0,
  kFloat4E2M1,
  kUInt4,
  kInt4,
  kUInt2,
  kInt2,
};
constexpr int kDTypes = static_cast<int>(DType::kInt2) + 1;

size_t size_of(DType dtype);            // bytes of one element in memory
std::string_view name_of(DType dtype);  // as NumPy and ml_dtypes name it: "float32", "float8_e5m2"
std::optional<DType> dtype_named(std::string_view name);  // the other way
bool is_integer(DType dtype);                             // signed or not, of any size; not bool
bool is_float(DType dtype);                               // of any size
// TensorProto.DataType, and back; nothing for what the engine has no tensors of.
int onnx_number_of(DType dtype);
std::optional<DType> dtype_of_onnx_number(int64_t number);

template <typename T>
constexpr DType dtype_of();

#define SANDERLING_DTYPE(type, dtype) \
  template <>                         \
  constexpr DType dtype_of<type>() {  \
    return DType::dtype;              \
  }
SANDERLING_DTYPE(float, kFloat32)
SANDERLING_DTYPE(double, kFloat64)
SANDERLING_DTYPE(uint8_t, kUInt8)
SANDERLING_DTYPE(int8_t, kInt8)
SANDERLING_DTYPE(int32_t, kInt32)
SANDERLING_DTYPE(int64_t, kInt64)
SANDERLING_DTYPE(bool, kBool)
SANDERLING_DTYPE(uint16_t, kUInt16)
SANDERLING_DTYPE(int16_t, kInt16)
SANDERLING_DTYPE(uint32_t, kUInt32)
SANDERLING_DTYPE(uint64_t, kUInt64)
SANDERLING_DTYPE(Float16, kFloat16)
SANDERLING_DTYPE(BFloat16, kBFloat16)
SANDERLING_DTYPE(Float8E4M3FN, kFloat8E4M3FN)
SANDERLING_DTYPE(Float8E4M3FNUZ, kFloat8E4M3FNUZ)
SANDERLING_DTYPE(Float8E5M2, kFloat8E5M2)
SANDERLING_DTYPE(Float8E5M2FNUZ, kFloat8E5M2FNUZ)
SANDERLING_DTYPE(Float8E8M0, kFloat8E8M0)
SANDERLING_DTYPE(Float4E2M1, kFloat4E2M1)
SANDERLING_DTYPE(UInt4, kUInt4)
SANDERLING_DTYPE(Int4, kInt4)
SANDERLING_DTYPE(UInt2, kUInt2)
SANDERLING_DTYPE(Int2, kInt2)
#undef SANDERLING_DTYPE

}  // namespace sanderling
