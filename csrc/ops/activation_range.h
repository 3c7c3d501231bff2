#pragma once

#include <limits>

#include "graph/operator.h"

namespace sanderling {

// The real range of a fused Relu or Clip: attributes `low` and `high`.
struct ActivationRange {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();

  float clamp(float x) const { return x < low ? low : x > high ? high : x; }
};

inline ActivationRange activation_range(const InferContext& context) {
  const ActivationRange all;
  return {context.attributes().number("low", all.low), context.attributes().number("high", all.high)};
}

}  // namespace sanderling
