// Walks arrays vector by vector; the last lanes go through load_first and store_first, so that
// nothing beyond an array is touched. Kernels copy what a loop needs into locals before it: stores
// of codes may alias the parameter block.
#pragma once

#include <stdint.h>

#include "kernels/params.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

struct AllLanes {
  template <typename T>
  auto load(const T* p) const {
    return SANDERLING_ISA_NAME::load(p);
  }
  template <typename T, typename V>
  void store(T* p, V x) const {
    SANDERLING_ISA_NAME::store(p, x);
  }
};

struct FirstLanes {
  int64_t n;
  template <typename T>
  auto load(const T* p) const {
    return load_first(p, n);
  }
  template <typename T, typename V>
  void store(T* p, V x) const {
    store_first(p, x, n);
  }
};

// Calls body(i, lanes) for each vector of [0, count); the body loads and stores through `lanes`.
template <typename Body>
inline void for_each_vector(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, AllLanes{});
  if (i < count) body(i, FirstLanes{count - i});
}

// y[i] = function(x[i])
template <typename Function>
inline void map(const float* x, float* y, int64_t count, const Function& function) {
  for_each_vector(count,
                  [&](int64_t i, auto lanes) { lanes.store(y + i, function(lanes.load(x + i))); });
}

// x < low ? low : x, then the same with high; NaN stays NaN.
inline F clip(F x, F low, F high) { return min_or_second(high, max_or_second(low, x)); }

// The last step of whatever makes codes: y = round_half_even(clamp(x, low, high)) + zero_point. NaN
// gives `low`. Clamping comes first: conversion of what int32 cannot hold is undefined, and differs
// between instruction sets.
struct ToCodes {
  F low, high;
  I zero_point;

  ToCodes(int32_t low_code, int32_t high_code, int32_t zero)
      : low(splat(static_cast<float>(low_code - zero))),
        high(splat(static_cast<float>(high_code - zero))),
        zero_point(splat(zero)) {}
  I operator()(F x) const {
    return add(round_to_int(min_or_second(max_or_second(x, low), high)), zero_point);
  }
};

// y[i] = operation(a[i * a_step], b[i * b_step])
template <bool kWalkA, bool kWalkB, typename Operation>
inline void binary_walk(const BinaryF32& p, const Operation& operation) {
  const float* const a = p.a;
  const float* const b = p.b;
  float* const y = p.y;
  const F first_a = splat(*a);
  const F first_b = splat(*b);
  for_each_vector(p.count, [&](int64_t i, auto lanes) {
    const F x = kWalkA ? lanes.load(a + i) : first_a;
    lanes.store(y + i, operation(x, kWalkB ? lanes.load(b + i) : first_b));
  });
}

template <typename Operation>
inline void binary(const BinaryF32& p, const Operation& operation) {
  if (p.count <= 0) return;
  if (p.a_step == 0) {
    p.b_step == 0 ? binary_walk<false, false>(p, operation)
                  : binary_walk<false, true>(p, operation);
  } else {
    p.b_step == 0 ? binary_walk<true, false>(p, operation) : binary_walk<true, true>(p, operation);
  }
}

// As binary, on codes: operation(a, b) takes int32 lanes and gives the float that ToCodes rounds.
template <bool kWalkB, typename Operation>
inline void binary_codes_walk(const BinaryU8& p, const Operation& operation) {
  const uint8_t* const a = p.a;
  const uint8_t* const b = p.b;
  uint8_t* const y = p.y;
  const I a_zero = splat(p.a_zero);
  const I b_zero = splat(p.b_zero);
  const I first_b = sub(splat(static_cast<int32_t>(*b)), b_zero);
  const ToCodes to_codes(p.low, p.high, p.zero_point);
  for_each_vector(p.count, [&](int64_t i, auto lanes) {
    const I y_b = kWalkB ? sub(lanes.load(b + i), b_zero) : first_b;
    lanes.store(y + i, to_codes(operation(sub(lanes.load(a + i), a_zero), y_b)));
  });
}

template <typename Operation>
inline void binary_codes(const BinaryU8& p, const Operation& operation) {
  if (p.count <= 0) return;
  p.b_step == 0 ? binary_codes_walk<false>(p, operation) : binary_codes_walk<true>(p, operation);
}

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
