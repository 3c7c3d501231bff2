#include "onnx/sparse_tensor.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "onnx/tensor_proto.h"

namespace sanderling {
namespace {

enum SparseTensorField : uint32_t { kValues = 1, kIndices = 2, kDims = 3 };

// A file of a few bytes must not make a device allocate all it has: beyond the first limit a dense
// tensor may only be so many times larger than what the file holds of it.
constexpr size_t kAlwaysAllowedBytes = size_t{16} << 20;
constexpr size_t kMostGrowth = 1024;

class SparseTensorReader {
 public:
  SparseTensorReader(const WireMessage& message, std::string_view what,
                     const ExternalData& external)
      : what_(what) {
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);) {
      if (field.number() == kValues) values_ = read_tensor(field.message(), what, external);
      if (field.number() == kIndices) indices_ = read_tensor(field.message(), what, external);
      if (field.number() == kDims)
        field.each_integer([&](int64_t dim) {
          if (dims_.size() <= Shape::kMaxRank) dims_.push_back(dim);
        });
    }
  }

  Tensor read() const {
    const Shape shape = checked_shape();
    const size_t width = size_of(values_.dtype());
    const std::vector<size_t> places = checked_places(shape);
    const size_t stored = values_.type().bytes() + indices_.type().bytes();
    const size_t limit = std::max(kAlwaysAllowedBytes, kMostGrowth * stored);
    if (static_cast<size_t>(shape.elements()) > limit / width)
      error("is a sparse tensor of shape ", shape.to_string(), " with ", places.size(),
            " elements; the limit for these is ", limit, " bytes");
    Tensor dense(values_.dtype(), shape);
    const auto* const from = static_cast<const std::byte*>(values_.raw());
    auto* const to = static_cast<std::byte*>(dense.mutable_raw());
    for (size_t i = 0; i < places.size(); ++i)
      std::memcpy(to + places[i] * width, from + i * width, width);
    return dense;
  }

 private:
  template <typename... Parts>
  [[noreturn]] void error(const Parts&... parts) const {
    fail(ErrorCode::kModel, "[onnx] ", what_, " ", parts...);
  }

  Shape checked_shape() const {
    try {
      return Shape(dims_);
    } catch (const Error& problem) {
      error("cannot be made: ", problem.what());
    }
  }

  // Where each value goes: by one number per value, or by its coordinates.
  std::vector<size_t> checked_places(const Shape& shape) const {
    const int64_t count = values_.shape().elements();
    const bool linear = indices_.shape() == Shape{count};
    if (values_.shape().rank() != 1 || indices_.dtype() != DType::kInt64 ||
        !(linear || indices_.shape() == Shape{count, shape.rank()}))
      error("is a sparse tensor with values ", values_.type().to_string(), " and indices ",
            indices_.type().to_string(), " for the shape ", shape.to_string());
    const std::vector<int64_t> strides = shape.strides();
    const auto given = indices_.data<int64_t>();
    std::vector<size_t> places;
    for (int64_t i = 0; i < count; ++i) {
      int64_t place = 0;
      for (int64_t axis = 0; axis < (linear ? 1 : shape.rank()); ++axis) {
        const int64_t at = given[static_cast<size_t>(linear ? i : i * shape.rank() + axis)];
        const int64_t extent = linear ? shape.elements() : shape[axis];
        if (at < 0 || at >= extent)
          error("is a sparse tensor of shape ", shape.to_string(), " with the index ", at,
                ", expected 0 to ", extent - 1);
        place += linear ? at : at * strides[static_cast<size_t>(axis)];
      }
      places.push_back(static_cast<size_t>(place));
    }
    std::vector<size_t> sorted = places;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
      error("is a sparse tensor that names an element twice");
    return places;
  }

  std::string_view what_;
  Tensor values_{DType::kFloat32, Shape{0}};
  Tensor indices_{DType::kInt64, Shape{0}};
  std::vector<int64_t> dims_;
};

}  // namespace

Tensor read_sparse_tensor(const WireMessage& message, std::string_view what,
                          const ExternalData& external) {
  return SparseTensorReader(message, what, external).read();
}

}  // namespace sanderling
