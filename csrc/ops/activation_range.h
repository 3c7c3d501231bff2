#pragma once

#include <limits>

#include "graph/operator.h"

namespace sanderling {

// The real range of a fused Relu or Clip: attributes `low` and `high`.
struct ActivationRange {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();

  bool is_all() const {
    return low == -std::numeric_limits<float>::infinity() &&
           high == std::numeric_limits<float>::infinity();
  }
  // NaN stays NaN.
  template <typename T>
  T clamp(T x) const {
    return x < static_cast<T>(low)    ? static_cast<T>(low)
           : x > static_cast<T>(high) ? static_cast<T>(high)
                                      : x;
  }
};

inline ActivationRange activation_range(const InferContext& context) {
  const ActivationRange all;
  return {context.attributes().number("low", all.low),
          context.attributes().number("high", all.high)};
}

}  // namespace sanderling
