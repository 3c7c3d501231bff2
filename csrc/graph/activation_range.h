#pragma once

#include <limits>

namespace sanderling {

// The real range that a Relu or Clip clamps to, alone or as a part of another operator: its
// attributes `low` and `high` then.
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

}  // namespace sanderling
