// The range that DynamicQuantizeLinear, and what quantizes its input in a run, chooses.
#pragma once

#include "ops/quantization.h"

namespace sanderling {

// One scale for all of x, such that 0 has a code; NaN counts for nothing. Zeros alone have scale 1,
// as ONNX Runtime has it (ONNX's formula gives 0).
inline Quantization dynamic_range(const float* x, int64_t count) {
  float low = 0.0f, high = 0.0f;
  for (int64_t i = 0; i < count; ++i) low = x[i] < low ? x[i] : low;
  for (int64_t i = 0; i < count; ++i) high = x[i] > high ? x[i] : high;
  const float scale = low == high ? 1.0f : (high - low) / 255.0f;
  return {scale, quantized(0.0f - low / scale, 1.0f, 0, 0, 255)};
}

}  // namespace sanderling
