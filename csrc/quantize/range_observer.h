// What calibration remembers of one float tensor: its range and a histogram, in one pass and in
// fixed memory.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>

namespace sanderling {

// A histogram whose bins are 2^exponent wide and start at a multiple of that width. A wider range
// doubles the width and adds neighbouring bins, which is exact; exponent and first bin follow from
// the least and largest value alone. So the state depends only on which values were seen: neither
// their order nor how they were split among merged observers shows.
//
// The exponent is the least for which the range fits in kBins bins, but bins are no narrower than
// half a step of the largest magnitude's float32 (2^-23 of it). Exact zeros, which Relu makes in
// numbers, are counted apart and in no bin.
class RangeObserver {
 public:
  static constexpr int64_t kBins = 2048;

  void update(std::span<const float> values);
  void merge(const RangeObserver& other);

  uint64_t count() const { return count_; }        // finite values, with the zeros
  uint64_t zeros() const { return zeros_; }        // of either sign
  uint64_t nan() const { return nan_; }            // in no other count
  uint64_t infinite() const { return infinite_; }  // in no other count
  float low() const { return low_; }               // of finite values; +inf while there are none
  float high() const { return high_; }             // of finite values; -inf while there are none

  // Bin i holds the values in [first_bin() + i, first_bin() + i + 1) * width().
  double width() const;
  int64_t first_bin() const { return first_bin_; }
  const std::array<uint64_t, kBins>& counts() const { return counts_; }
  // The one value of a bin, NaN if it has several; of bins with a count only.
  const std::array<float, kBins>& atoms() const { return atoms_; }

 private:
  void cover(float low, float high);  // makes room for values up to these; both finite
  void add(int64_t bin, uint64_t count, float atom);

  std::array<uint64_t, kBins> counts_{};
  std::array<float, kBins> atoms_{};
  int exponent_ = 0;
  int64_t first_bin_ = 0;
  uint64_t count_ = 0, zeros_ = 0, nan_ = 0, infinite_ = 0;
  float low_ = std::numeric_limits<float>::infinity();
  float high_ = -std::numeric_limits<float>::infinity();
};

}  // namespace sanderling
