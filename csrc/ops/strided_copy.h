// Copies elements between places that are both regular: transposed, cut out, repeated, reversed.
#pragma once

#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "core/workers.h"

namespace sanderling {

// One axis of a copy, with how far a step along it moves in the source and in the target, in
// elements. In the source that may be 0 (repeats an element) or negative (goes backwards).
struct CopyAxis {
  int64_t extent = 1, from = 0, to = 0;
};

// Made when planning; running it allocates nothing.
class StridedCopy {
 public:
  // Axes from the outermost, of which the targets must not overlap; the first element is at
  // `from_offset` and `to_offset`.
  StridedCopy(DType dtype, const std::vector<CopyAxis>& axes, int64_t from_offset = 0,
              int64_t to_offset = 0);

  void operator()(const void* from, void* to, Workers& workers) const;

 private:
  template <typename T>
  void copy(const T* from, T* to, Workers& workers) const;
  template <typename T>
  void copy_tile(const T* from, T* to, int64_t rows, int64_t columns) const;

  // It is walked in tiles of two axes: `column_`, along which the target is contiguous, and `row_`:
  // the one along which the source is, or any other.
  CopyAxis row_, column_;
  std::vector<CopyAxis> outer_;  // innermost first
  int64_t outer_elements_ = 1;
  int64_t from_offset_, to_offset_;
  int64_t tile_rows_ = 1, tile_columns_ = 1;
  size_t width_;  // bytes of an element
};

// The axes of a whole contiguous target, given its shape and the source's strides.
std::vector<CopyAxis> axes_to(const Shape& to, const std::vector<int64_t>& from_strides);

}  // namespace sanderling
