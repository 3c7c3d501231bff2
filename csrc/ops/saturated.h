#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

namespace sanderling {

// x as an element of type T: integers towards zero, within their range; NaN is 0 there.
template <typename T>
T saturated(double x) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(x);
  } else {
    using Limits = std::numeric_limits<T>;
    if (std::isnan(x)) return T{0};
    if (x <= static_cast<double>(Limits::min())) return Limits::min();
    if (x >= static_cast<double>(Limits::max())) return Limits::max();
    return static_cast<T>(x);
  }
}

}  // namespace sanderling
