// The parts of softmax over contiguous numbers. What the last vector lacks is -inf: it is no
// maximum and its power is 0.
#pragma once

#include "kernels/cpu/functions.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();

inline F load_or_minus_infinity(AllLanes, const float* p) { return load(p); }
inline F load_or_minus_infinity(FirstLanes lanes, const float* p) {
  return first_or(lanes.load(p), lanes.n, splat(kMinusInfinity));
}

inline float largest(const float* x, int64_t count) {
  F most = splat(kMinusInfinity);
  for_each_vector(count, [&](int64_t i, auto lanes) {
    most = max_or_second(load_or_minus_infinity(lanes, x + i), most);
  });
  return largest_of(most);
}

// The sum of exp(x - largest), which y gets. A float32 sum of n terms may lose log2(n) bits: here
// one has kTerms, and the sum of these sums is double.
template <bool kStore>
inline double sum_powers(const float* x, float* y, int64_t count, float largest) {
  constexpr int64_t kTerms = 64;
  const F most = splat(largest);
  double total = 0.0;
  for (int64_t begin = 0; begin < count; begin += kTerms * kLanes) {
    const int64_t left = count - begin;
    F sum = splat(0.0f);
    for_each_vector(left < kTerms * kLanes ? left : kTerms * kLanes, [&](int64_t i, auto lanes) {
      const F power = exp_below_zero(sub(load_or_minus_infinity(lanes, x + begin + i), most));
      if constexpr (kStore) lanes.store(y + begin + i, power);
      sum = add(sum, power);
    });
    total += static_cast<double>(sum_of(sum));
  }
  return total;
}

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
