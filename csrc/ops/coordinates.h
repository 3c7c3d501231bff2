// Walks over elements by their coordinates: slow and plain, for references.
#pragma once

#include <vector>

#include "graph/operator.h"
#include "ops/element_types.h"

namespace sanderling {

// The coordinates of a shape's elements, one after another in row-major order.
class Coordinates {
 public:
  explicit Coordinates(const Shape& shape)
      : shape_(shape), at_(static_cast<size_t>(shape.rank()), 0) {}

  int64_t operator[](int64_t axis) const { return at_[static_cast<size_t>(axis)]; }
  int64_t& operator[](int64_t axis) { return at_[static_cast<size_t>(axis)]; }
  // After the last element it is at the first again.
  void next() {
    for (int64_t axis = shape_.rank() - 1; axis >= 0; --axis) {
      if (++(*this)[axis] < shape_[axis]) return;
      (*this)[axis] = 0;
    }
  }
  // Which element of a tensor with these strides stands here.
  int64_t offset(const std::vector<int64_t>& strides) const {
    int64_t offset = 0;
    for (size_t i = 0; i < strides.size(); ++i) offset += at_[i] * strides[i];
    return offset;
  }

 private:
  const Shape shape_;
  std::vector<int64_t> at_;
};

// Fills an output with elements of input 0: source(coordinates in the output) says which.
template <typename Source>
void move_elements(const ReferenceContext& context, size_t output, const Source& source) {
  const Shape& shape = context.output(output).shape;
  visit_width(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto* const x = static_cast<const T*>(context.raw_input(0));
    auto* const y = static_cast<T*>(context.raw_output(output));
    Coordinates at(shape);
    for (int64_t i = 0; i < shape.elements(); ++i, at.next()) y[i] = x[source(at)];
  });
}

}  // namespace sanderling
