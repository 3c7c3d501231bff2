#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace sanderling {

// The extents of a tensor, outermost first; always concrete. A scalar has rank 0 and one element.
class Shape {
 public:
  static constexpr int64_t kMaxRank = 8;
  static constexpr int64_t kMaxElements =
      int64_t{1} << 40;  // far above any device's memory; keeps products from overflowing

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::vector<int64_t>(dims)) {}
  // Throws kInput if an extent is negative, the rank exceeds kMaxRank or the elements exceed
  // kMaxElements.
  explicit Shape(std::vector<int64_t> dims);
  // The same for one that is used again: allocates only for more dimensions than it ever had.
  void assign(std::span<const int64_t> dims);

  int64_t rank() const { return static_cast<int64_t>(dims_.size()); }
  int64_t operator[](int64_t axis) const { return dims_[static_cast<size_t>(axis)]; }
  int64_t elements() const { return elements_; }
  int64_t elements(int64_t first_axis,
                   int64_t last_axis) const;  // product over [first_axis, last_axis)
  const std::vector<int64_t>& dims() const { return dims_; }
  std::vector<int64_t> strides() const;  // in elements, row-major
  // Maps a possibly negative axis to [0, rank); throws kModel naming `what` if it is out of range.
  int64_t axis(int64_t axis, const char* what) const;
  std::string to_string() const;  // "[1, 3, 32, 32]"

  bool operator==(const Shape& other) const { return dims_ == other.dims_; }

 private:
  void count();  // elements_ of dims_, which it checks

  std::vector<int64_t> dims_;
  int64_t elements_ = 1;
};

// NumPy broadcasting of two shapes; throws kModel naming both when they do not fit.
Shape broadcast(const Shape& a, const Shape& b, const char* what);

}  // namespace sanderling
