#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "core/dtype.h"
#include "core/error.h"
#include "core/shape.h"

namespace sanderling {

// Every buffer of the engine starts on a cache line and may be read (never written) kSlackBytes
// past its end, so that kernels load whole vectors at tails.
constexpr size_t kAlignment = 64;
constexpr size_t kSlackBytes = 64;

struct TensorType {
  DType dtype = DType::kFloat32;
  Shape shape;

  size_t bytes() const { return static_cast<size_t>(shape.elements()) * size_of(dtype); }
  std::string to_string() const { return cat(name_of(dtype), shape.to_string()); }
  bool operator==(const TensorType& other) const = default;
};

// Aligned, zero-initialised bytes with slack; shared, never resized.
std::shared_ptr<std::byte[]> allocate(size_t bytes);

// A borrowed, contiguous, row-major tensor.
struct TensorView {
  TensorType type;
  void* data = nullptr;

  template <typename T>
  T* as() const {
    SANDERLING_ASSERT(dtype_of<T>() == type.dtype, "view is ", type.to_string());
    return static_cast<T*>(data);
  }
};

// An owned, contiguous, row-major tensor. Copies share the bytes: treat a tensor as immutable once
// it is shared.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(TensorType type) : type_(std::move(type)), data_(allocate(type_.bytes())) {}
  Tensor(DType dtype, Shape shape) : Tensor(TensorType{dtype, std::move(shape)}) {}
  template <typename T>
  static Tensor of(Shape shape, std::span<const T> values) {
    Tensor tensor(dtype_of<T>(), std::move(shape));
    SANDERLING_ASSERT(static_cast<int64_t>(values.size()) == tensor.shape().elements(),
                      values.size());
    std::copy(values.begin(), values.end(), tensor.mutable_data<T>().begin());
    return tensor;
  }
  template <typename T>
  static Tensor scalar(T value) {
    return of<T>(Shape{}, std::span<const T>(&value, 1));
  }

  // Elements that lie elsewhere, aligned to kAlignment and with kSlackBytes that may be read after
  // them. Keeps `owner`; they may be in memory that cannot be written to.
  static Tensor borrowed(TensorType type, const std::byte* data, std::shared_ptr<const void> owner);

  const TensorType& type() const { return type_; }
  DType dtype() const { return type_.dtype; }
  const Shape& shape() const { return type_.shape; }
  const void* raw() const { return data_.get(); }
  void* mutable_raw() { return data_.get(); }
  TensorView view() const {
    return {type_, data_.get()};
  }  // the caller must not write to a shared tensor
  // The same bytes under another shape of equal element count.
  Tensor reshaped(Shape shape) const;

  template <typename T>
  std::span<const T> data() const {
    SANDERLING_ASSERT(dtype_of<T>() == type_.dtype, "tensor is ", type_.to_string());
    return {reinterpret_cast<const T*>(data_.get()), static_cast<size_t>(type_.shape.elements())};
  }
  template <typename T>
  std::span<T> mutable_data() {
    SANDERLING_ASSERT(dtype_of<T>() == type_.dtype, "tensor is ", type_.to_string());
    return {reinterpret_cast<T*>(data_.get()), static_cast<size_t>(type_.shape.elements())};
  }

 private:
  TensorType type_;
  std::shared_ptr<std::byte[]> data_;
};

}  // namespace sanderling
