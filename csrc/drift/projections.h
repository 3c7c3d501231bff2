#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace sanderling {

// Sixteen fixed random directions of a large tensor, each a sum of its elements with signs +1 or -1
// drawn from a seed, over the square root of their number. NaN and infinity count as 0. The sums
// run in element order in float32, so that all ISAs give the same bits.
class Projections {
 public:
  static constexpr size_t kCount = 16;
  static constexpr size_t kMaxElements = size_t{1} << 26;

  Projections(size_t elements, uint64_t seed);  // kInput unless 1 <= elements <= kMaxElements
  size_t elements() const { return signs_.size(); }
  std::array<float, kCount> project(
      std::span<const float> row) const;  // kInput unless row has `elements` values

 private:
  std::vector<uint16_t> signs_;  // bit k set: direction k subtracts this element
  float scale_;
};

}  // namespace sanderling
