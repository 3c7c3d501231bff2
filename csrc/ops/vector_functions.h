// Sums in float32 of several lanes, so that the compiler makes vectors of loops over them.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sanderling {

// The sum of term(i), a float, for i in [0, count). A float32 sum of so many terms would err by too
// much: here one has 256 terms at most.
template <typename Term>
double sum_in_vectors(int64_t count, const Term& term) {
  constexpr int64_t kLanes = 16, kTerms = kLanes * 256;
  double total = 0.0;
  for (int64_t begin = 0; begin < count; begin += kTerms) {
    const int64_t end = std::min(count, begin + kTerms);
    float lanes[kLanes] = {};
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes)
      for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
    for (; i < end; ++i) lanes[0] += term(i);
    for (float lane : lanes) total += static_cast<double>(lane);
  }
  return total;
}

// The sum of a[i] * b[i].
inline float dot_in_vectors(const float* a, const float* b, int64_t count) {
  constexpr int64_t kLanes = 16;
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  for (; i < count; ++i) lanes[0] += a[i] * b[i];
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  return lanes[0];
}

}  // namespace sanderling
