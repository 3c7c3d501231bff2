#include "core/shape.h"

#include <algorithm>

#include "core/error.h"

namespace sanderling {

Shape::Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) { count(); }

void Shape::assign(std::span<const int64_t> dims) {
  dims_.assign(dims.begin(), dims.end());
  count();
}

void Shape::count() {
  if (rank() > kMaxRank)
    fail(ErrorCode::kInput, "rank ", rank(), " exceeds the limit of ", kMaxRank);
  for (int64_t dim : dims_)
    if (dim < 0) fail(ErrorCode::kInput, "shape ", to_string(), " has a negative extent");
  // A zero extent empties the tensor, yet the others are still bounded so that no product
  // overflows.
  int64_t bound = 1;
  elements_ = 1;
  for (int64_t dim : dims_) {
    if (dim > 0 && bound > kMaxElements / dim)
      fail(ErrorCode::kInput, "shape ", to_string(), " exceeds the limit of ", kMaxElements,
           " elements");
    bound *= std::max<int64_t>(dim, 1);
    elements_ *= dim;
  }
}

int64_t Shape::elements(int64_t first_axis, int64_t last_axis) const {
  int64_t product = 1;
  for (int64_t axis = first_axis; axis < last_axis; ++axis) product *= (*this)[axis];
  return product;
}

std::vector<int64_t> Shape::strides() const {
  std::vector<int64_t> strides(dims_.size(), 1);
  for (int64_t axis = rank() - 2; axis >= 0; --axis)
    strides[static_cast<size_t>(axis)] = strides[static_cast<size_t>(axis + 1)] * (*this)[axis + 1];
  return strides;
}

int64_t Shape::axis(int64_t axis, const char* what) const {
  if (axis < -rank() || axis >= rank())
    fail(ErrorCode::kModel, "[", what, "] axis ", axis, " is outside shape ", to_string());
  return axis < 0 ? axis + rank() : axis;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (size_t i = 0; i < dims_.size(); ++i) text += (i ? ", " : "") + std::to_string(dims_[i]);
  return text + "]";
}

Shape broadcast(const Shape& a, const Shape& b, const char* what) {
  const int64_t rank = std::max(a.rank(), b.rank());
  std::vector<int64_t> dims(static_cast<size_t>(rank));
  for (int64_t i = 1; i <= rank; ++i) {
    const int64_t da = i <= a.rank() ? a[a.rank() - i] : 1;
    const int64_t db = i <= b.rank() ? b[b.rank() - i] : 1;
    if (da != db && da != 1 && db != 1)
      fail(ErrorCode::kModel, "[", what, "] shapes ", a.to_string(), " and ", b.to_string(),
           " cannot be broadcast together");
    dims[static_cast<size_t>(rank - i)] = da == 1 ? db : da;
  }
  return Shape(std::move(dims));
}

}  // namespace sanderling
