// Measures how far a tensor is from what it should be.
#pragma once

#include <cstdint>
#include <span>

namespace sanderling {

// Sums over many batches, so that a ratio at the end weighs every element alike. Pairs where either
// is not finite are left out and counted.
struct Noise {
  double signal = 0.0;  // sum of expected^2
  double noise = 0.0;   // sum of (actual - expected)^2
  uint64_t count = 0;
  uint64_t skipped = 0;

  // kInput if the lengths differ.
  void add(std::span<const float> expected, std::span<const float> actual);
  // 10 * log10(signal / noise): +inf without noise, -inf with noise but no signal.
  double decibels() const;
};

}  // namespace sanderling
