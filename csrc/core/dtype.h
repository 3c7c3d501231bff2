#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sanderling {

// The element types that tensors of the engine may have.
enum class DType : uint8_t { kFloat32, kFloat64, kUInt8, kInt8, kInt32, kInt64, kBool };

size_t size_of(DType dtype);            // bytes of one element
std::string_view name_of(DType dtype);  // NumPy's name: "float32"
bool is_integer(DType dtype);           // kUInt8, kInt8, kInt32, kInt64

template <typename T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::kFloat32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::kFloat64;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::kUInt8;
}
template <>
constexpr DType dtype_of<int8_t>() {
  return DType::kInt8;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::kInt32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::kInt64;
}
template <>
constexpr DType dtype_of<bool>() {
  return DType::kBool;
}

}  // namespace sanderling
