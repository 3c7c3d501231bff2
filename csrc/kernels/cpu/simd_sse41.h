// SSE4.1, for CPUs without AVX (Atom): 4 lanes in 16 registers, no fused multiply-add. What each
// function means is said in simd_scalar.h.
#pragma once

#include <smmintrin.h>
#include <stdint.h>
#include <string.h>

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

using F = __m128;
using I = __m128i;
constexpr int kLanes = 4;

// The first n < 4 elements; what is not touched may lie on a page that is not there.
inline I load_first(const int32_t* p, int64_t n) {
  int32_t lanes[4] = {p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0};
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(lanes));
}
inline void store_first(int32_t* p, I x, int64_t n) {
  if (n & 2) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), x);
    x = _mm_unpackhi_epi64(x, x);
    p += 2;
  }
  if (n & 1) *p = _mm_cvtsi128_si32(x);
}

inline F splat(float x) { return _mm_set1_ps(x); }
inline F load(const float* p) { return _mm_loadu_ps(p); }
inline F load_first(const float* p, int64_t n) {
  return _mm_setr_ps(p[0], n > 1 ? p[1] : 0.0f, n > 2 ? p[2] : 0.0f, 0.0f);
}
inline void store(float* p, F x) { _mm_storeu_ps(p, x); }
inline void store_first(float* p, F x, int64_t n) {
  if (n & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), x);
    x = _mm_movehl_ps(x, x);
    p += 2;
  }
  if (n & 1) _mm_store_ss(p, x);
}

inline I splat(int32_t x) { return _mm_set1_epi32(x); }
inline I load(const int32_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline void store(int32_t* p, I x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), x); }

inline __m128i four_bytes(const void* p) {
  int32_t four;
  memcpy(&four, p, sizeof(four));
  return _mm_cvtsi32_si128(four);
}
// The first n < 4 bytes. Branches, since memcpy of n bytes would be a call.
inline __m128i first_bytes(const void* p, int64_t n) {
  const auto* const bytes = static_cast<const uint8_t*>(p);
  int32_t four = bytes[0];
  if (n > 1) four |= bytes[1] << 8;
  if (n > 2) four |= bytes[2] << 16;
  return _mm_cvtsi32_si128(four);
}
inline I load(const uint8_t* p) { return _mm_cvtepu8_epi32(four_bytes(p)); }
inline I load_first(const uint8_t* p, int64_t n) { return _mm_cvtepu8_epi32(first_bytes(p, n)); }
inline I load(const int8_t* p) { return _mm_cvtepi8_epi32(four_bytes(p)); }
inline I load_first(const int8_t* p, int64_t n) { return _mm_cvtepi8_epi32(first_bytes(p, n)); }
inline int32_t narrow(I x) {
  const __m128i words = _mm_packs_epi32(x, x);
  return _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
}
inline void store(uint8_t* p, I x) {
  const int32_t four = narrow(x);
  memcpy(p, &four, sizeof(four));
}
inline void store_first(uint8_t* p, I x, int64_t n) {
  const int32_t four = narrow(x);
  p[0] = static_cast<uint8_t>(four);
  if (n > 1) p[1] = static_cast<uint8_t>(four >> 8);
  if (n > 2) p[2] = static_cast<uint8_t>(four >> 16);
}

inline F add(F a, F b) { return _mm_add_ps(a, b); }
inline F sub(F a, F b) { return _mm_sub_ps(a, b); }
inline F mul(F a, F b) { return _mm_mul_ps(a, b); }
inline F div(F a, F b) { return _mm_div_ps(a, b); }
inline F multiply_add(F a, F b, F c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
inline F max_or_second(F a, F b) { return _mm_max_ps(a, b); }
inline F min_or_second(F a, F b) { return _mm_min_ps(a, b); }
inline F first_if_nan(F a, F b) { return _mm_blendv_ps(b, a, _mm_cmpunord_ps(a, a)); }
inline int count_nan(F x) {
  // No popcount before SSE4.2: the bits of 0..15, four of them to a count.
  return static_cast<int>(0x4332322132212110u >> _mm_movemask_ps(_mm_cmpunord_ps(x, x)) * 4 & 7);
}

inline I add(I a, I b) { return _mm_add_epi32(a, b); }
inline I sub(I a, I b) { return _mm_sub_epi32(a, b); }
inline I mul(I a, I b) { return _mm_mullo_epi32(a, b); }
inline F to_float(I x) { return _mm_cvtepi32_ps(x); }
inline I round_to_int(F x) { return _mm_cvtps_epi32(x); }
inline I bits_of(F x) { return _mm_castps_si128(x); }
inline F float_of(I x) { return _mm_castsi128_ps(x); }
template <int kBits>
inline I shift_left(I x) {
  return _mm_slli_epi32(x, kBits);
}
inline I bit_and(I a, I b) { return _mm_and_si128(a, b); }
inline I bit_or(I a, I b) { return _mm_or_si128(a, b); }

inline F if_less(F a, F b, F yes, F no) { return _mm_blendv_ps(no, yes, _mm_cmplt_ps(a, b)); }
inline F first_or(F x, int64_t n, F other) {
  const I is_first =
      _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int32_t>(n)), _mm_setr_epi32(0, 1, 2, 3));
  return _mm_blendv_ps(other, x, _mm_castsi128_ps(is_first));
}

inline float sum_of(F x) {
  const F two = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float largest_of(F x) {
  const F two = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// The upper 16 bits of a code's lane are zero, so the pair product of pmaddwd is the product:
// cheaper than pmulld.
inline I add_product(I sum, I x, I w) { return _mm_add_epi32(sum, _mm_madd_epi16(x, w)); }

// Exact, as in simd_avx2.h: codes and weights widen to 16 bits before they meet.
struct DotU8S8 {
  static constexpr int kRows =
      4;  // 4 x 2 sums, 2 weights, codes, their product: 12 of 16 registers
  static constexpr int kVectors = 2;
  static constexpr int kSteps = 2;
  static constexpr int kWidth = 2;
  static constexpr int32_t kShift = 0;

  using Codes = __m128i;
  using Weights = __m128i;
  template <int kStep>
  static inline Codes spread(const uint8_t* a) {
    const __m128i codes = _mm_shuffle_epi32(four_bytes(a), 0);
    if constexpr (kStep == 0) return _mm_and_si128(codes, _mm_set1_epi16(0xff));
    return _mm_srli_epi16(codes, 8);
  }
  static inline Weights weights(const int8_t* b) {
    return _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(b)));
  }
  static inline I add_dot(I sum, Codes a, Weights b) {
    return _mm_add_epi32(sum, _mm_madd_epi16(a, b));
  }
};

constexpr int kFloatRows = 4;  // 4 x 2 sums, 2 weights, 1 code, 1 product: 12 of 16 registers
constexpr int kFloatVectors = 2;

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME

#include "kernels/cpu/power_of_two.h"
