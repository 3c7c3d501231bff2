#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace sanderling {

// The model's own confidence: the largest probability of each row in 32 equal bins of [0, 1]; bin i
// is [i/32, (i+1)/32), the last one is closed. Values outside go to the nearest bin, NaN is counted
// apart.
class ConfidenceHistogram {
 public:
  static constexpr size_t kBins = 32;

  void update(float confidence);
  void merge(const ConfidenceHistogram& other);

  const std::array<uint64_t, kBins>& counts() const { return counts_; }
  uint64_t missing() const { return missing_; }
  uint64_t total() const;  // rows, with those that are NaN

  std::string serialize() const;
  static ConfidenceHistogram deserialize(std::span<const uint8_t> bytes);
  bool operator==(const ConfidenceHistogram& other) const = default;

 private:
  std::array<uint64_t, kBins> counts_{};
  uint64_t missing_ = 0;
};

}  // namespace sanderling
