#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "drift/bytes.h"

namespace sanderling {

// All values of a large tensor in 256 equal bins of a reference's range, blind to position. Values
// outside go to the nearest bin, NaN is counted apart.
class ValueHistogram {
 public:
  static constexpr size_t kBins = 256;

  // kInput unless low < high and both are finite.
  ValueHistogram(const ReferenceId& id, float low, float high);
  void update(std::span<const float> values);
  void merge(const ValueHistogram& other);  // kInput when the references or the ranges differ

  const ReferenceId& id() const { return id_; }
  float low() const { return low_; }
  float high() const { return high_; }
  const std::array<uint64_t, kBins>& counts() const { return counts_; }
  uint64_t missing() const { return missing_; }
  uint64_t total() const;  // values, with those that are NaN

  std::string serialize() const;
  static ValueHistogram deserialize(std::span<const uint8_t> bytes);
  bool operator==(const ValueHistogram& other) const = default;

 private:
  ReferenceId id_;
  float low_;
  float high_;
  std::array<uint64_t, kBins> counts_{};
  uint64_t missing_ = 0;
};

}  // namespace sanderling
