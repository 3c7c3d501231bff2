#include "core/tensor.h"

#include <cstring>
#include <new>

namespace sanderling {

std::shared_ptr<std::byte[]> allocate(size_t bytes) {
  const size_t padded = (bytes + kSlackBytes + kAlignment - 1) / kAlignment * kAlignment;
  auto* data = static_cast<std::byte*>(::operator new[](padded, std::align_val_t{kAlignment}));
  std::memset(data, 0, padded);
  return {data, [](std::byte* p) { ::operator delete[](p, std::align_val_t{kAlignment}); }};
}

Tensor Tensor::borrowed(TensorType type, const std::byte* data, std::shared_ptr<const void> owner) {
  Tensor result;
  result.type_ = std::move(type);
  result.data_ = std::shared_ptr<std::byte[]>(std::move(owner), const_cast<std::byte*>(data));
  return result;
}

Tensor Tensor::reshaped(Shape shape) const {
  SANDERLING_ASSERT(shape.elements() == type_.shape.elements(), shape.to_string(), " from ",
                    type_.to_string());
  Tensor result = *this;
  result.type_.shape = std::move(shape);
  return result;
}

}  // namespace sanderling
