// The range that DynamicQuantizeLinear, and what quantizes its input in a run, chooses.
#pragma once

#include <algorithm>
#include <array>

#include "ops/quantization.h"

namespace sanderling {

// One scale for all of x, such that 0 has a code; NaN counts for nothing. Zeros alone have scale 1,
// as ONNX Runtime has it (ONNX's formula gives 0).
inline Quantization dynamic_range(const float* x, int64_t count) {
  // Lanes of their own, which compilers make vectors of; the order does not change an extreme.
  constexpr size_t kLanes = 16;
  std::array<float, kLanes> lows{}, highs{};
  int64_t i = 0;
  for (; i + static_cast<int64_t>(kLanes) <= count; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float value = x[i + static_cast<int64_t>(lane)];
      lows[lane] = value < lows[lane] ? value : lows[lane];
      highs[lane] = value > highs[lane] ? value : highs[lane];
    }
  }
  float low = *std::min_element(lows.begin(), lows.end());
  float high = *std::max_element(highs.begin(), highs.end());
  for (; i < count; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  const float scale = low == high ? 1.0f : (high - low) / 255.0f;
  return {scale, quantized(0.0f - low / scale, 1.0f, 0, 0, 255)};
}

}  // namespace sanderling
