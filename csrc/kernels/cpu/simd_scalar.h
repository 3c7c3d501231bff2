// One lane: the plain C++ that every other simd_<isa>.h must agree with. F is a vector of float32,
// I of int32; `n` in *_first is the count of leading lanes that may be touched (fewer than kLanes),
// the others read as zero.
#pragma once

#include <stdint.h>
#include <string.h>

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

using F = float;
using I = int32_t;
constexpr int kLanes = 1;

inline F splat(float x) { return x; }
inline F load(const float* p) { return *p; }
inline F load_first(const float*, int64_t) { return 0; }
inline void store(float* p, F x) { *p = x; }
inline void store_first(float*, F, int64_t) {}

inline I splat(int32_t x) { return x; }
inline I load(const int32_t* p) { return *p; }
inline I load_first(const int32_t*, int64_t) { return 0; }
inline void store(int32_t* p, I x) { *p = x; }
inline void store_first(int32_t*, I, int64_t) {}

// Codes widen to int32 lanes on load and narrow on store; stored lanes are in 0..255.
inline I load(const uint8_t* p) { return *p; }
inline I load_first(const uint8_t*, int64_t) { return 0; }
inline I load(const int8_t* p) { return *p; }
inline I load_first(const int8_t*, int64_t) { return 0; }
inline void store(uint8_t* p, I x) { *p = static_cast<uint8_t>(x); }
inline void store_first(uint8_t*, I, int64_t) {}

inline F add(F a, F b) { return a + b; }
inline F sub(F a, F b) { return a - b; }
inline F mul(F a, F b) { return a * b; }
inline F div(F a, F b) { return a / b; }
inline F multiply_add(F a, F b, F c) { return a * b + c; }  // fused where the ISA can
inline F max_or_second(F a, F b) { return a > b ? a : b; }  // b if either is NaN
inline F min_or_second(F a, F b) { return a < b ? a : b; }  // b if either is NaN
inline F first_if_nan(F a, F b) { return a != a ? a : b; }
inline int count_nan(F x) { return x != x; }

// int32 wraps around, as vector units do.
inline I add(I a, I b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}
inline I sub(I a, I b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b));
}
inline I mul(I a, I b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
}

inline F to_float(I x) { return static_cast<float>(x); }
// Half to even, |x| <= 2^22: adding 1.5 * 2^23 leaves no bits for the fraction, so the addition
// itself rounds.
inline I round_to_int(F x) { return static_cast<int32_t>((x + 12582912.0f) - 12582912.0f); }

// Lanes as bits and back.
inline I bits_of(F x) {
  I bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}
inline F float_of(I x) {
  F lanes;
  memcpy(&lanes, &x, sizeof(lanes));
  return lanes;
}
template <int kBits>
inline I shift_left(I x) {
  return static_cast<int32_t>(static_cast<uint32_t>(x) << kBits);
}
inline I bit_and(I a, I b) { return a & b; }
inline I bit_or(I a, I b) { return a | b; }

inline F if_less(F a, F b, F yes, F no) { return a < b ? yes : no; }  // no if a or b is NaN
inline F first_or(F, int64_t, F other) { return other; }              // x in the first n lanes

// Of all lanes; the largest of numbers.
inline float sum_of(F x) { return x; }
inline float largest_of(F x) { return x; }

// Lane-wise sum + x * w, where x holds codes and w weights as load() widens them.
inline I add_product(I sum, I x, I w) { return sum + x * w; }

// The integer dot product that gemm_u8s8s32 is made of (gemm_tiles.h). One step multiplies kWidth
// codes of a row with kWidth weights of each of kLanes columns; a group is kSteps steps, which
// together take kSteps * kWidth codes: step s takes the codes s, s + kSteps, ... of its group.
struct DotU8S8 {
  static constexpr int kRows = 4;     // 4 rows x 4 columns: 16 sums, 4 weights, 1 code
  static constexpr int kVectors = 4;  // vectors of columns in a panel
  static constexpr int kSteps = 1;
  static constexpr int kWidth = 1;
  static constexpr int32_t kShift = 0;  // subtracted from each code by spread()

  using Codes = int32_t;
  using Weights = int32_t;
  template <int kStep>
  static inline Codes spread(const uint8_t* a) {
    return *a;
  }
  static inline Weights weights(const int8_t* b) { return *b; }
  static inline I add_dot(I sum, Codes a, Weights b) { return sum + a * b; }
};

constexpr int kFloatRows = 4;
constexpr int kFloatVectors = 2;

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME

#include "kernels/cpu/power_of_two.h"
