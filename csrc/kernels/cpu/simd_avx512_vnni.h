// AVX-512 F, BW, VL, VNNI: 16 lanes in 32 registers. What each function means is said in
// simd_scalar.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

using F = __m512;
using I = __m512i;
constexpr int kLanes = 16;

inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

inline F splat(float x) { return _mm512_set1_ps(x); }
inline F load(const float* p) { return _mm512_loadu_ps(p); }
inline F load_first(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
inline void store(float* p, F x) { _mm512_storeu_ps(p, x); }
inline void store_first(float* p, F x, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), x); }

inline I splat(int32_t x) { return _mm512_set1_epi32(x); }
inline I load(const int32_t* p) { return _mm512_loadu_si512(p); }
inline I load_first(const int32_t* p, int64_t n) {
  return _mm512_maskz_loadu_epi32(first_lanes(n), p);
}
inline void store(int32_t* p, I x) { _mm512_storeu_si512(p, x); }
inline void store_first(int32_t* p, I x, int64_t n) {
  _mm512_mask_storeu_epi32(p, first_lanes(n), x);
}

inline I load(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline I load_first(const uint8_t* p, int64_t n) {
  return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p));
}
inline I load(const int8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline I load_first(const int8_t* p, int64_t n) {
  return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p));
}
inline void store(uint8_t* p, I x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x));
}
inline void store_first(uint8_t* p, I x, int64_t n) {
  _mm_mask_storeu_epi8(p, first_lanes(n), _mm512_cvtepi32_epi8(x));
}

inline F add(F a, F b) { return _mm512_add_ps(a, b); }
inline F sub(F a, F b) { return _mm512_sub_ps(a, b); }
inline F mul(F a, F b) { return _mm512_mul_ps(a, b); }
inline F div(F a, F b) { return _mm512_div_ps(a, b); }
inline F multiply_add(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline F max_or_second(F a, F b) { return _mm512_max_ps(a, b); }
inline F min_or_second(F a, F b) { return _mm512_min_ps(a, b); }
inline F first_if_nan(F a, F b) {
  return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a);
}
inline int count_nan(F x) { return __builtin_popcount(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q)); }

inline I add(I a, I b) { return _mm512_add_epi32(a, b); }
inline I sub(I a, I b) { return _mm512_sub_epi32(a, b); }
inline I mul(I a, I b) { return _mm512_mullo_epi32(a, b); }
inline F to_float(I x) { return _mm512_cvtepi32_ps(x); }
inline I round_to_int(F x) { return _mm512_cvtps_epi32(x); }
inline I bits_of(F x) { return _mm512_castps_si512(x); }
inline F float_of(I x) { return _mm512_castsi512_ps(x); }
template <int kBits>
inline I shift_left(I x) {
  return _mm512_slli_epi32(x, kBits);
}
inline F times_power_of_two(F x, F n) { return _mm512_scalef_ps(x, n); }
inline I bit_and(I a, I b) { return _mm512_and_si512(a, b); }
inline I bit_or(I a, I b) { return _mm512_or_si512(a, b); }

inline F if_less(F a, F b, F yes, F no) {
  return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), yes);
}
inline F first_or(F x, int64_t n, F other) { return _mm512_mask_mov_ps(other, first_lanes(n), x); }

inline __m256 upper_half(F x) {
  return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
}
inline float sum_of(F x) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), upper_half(x));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float largest_of(F x) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(x), upper_half(x));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// The upper 16 bits of a code's lane are zero, so the pair product of vpmaddwd is the product:
// cheaper than vpmulld.
inline I add_product(I sum, I x, I w) { return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w)); }

struct DotU8S8 {
  static constexpr int kRows = 6;  // 6 x 4 sums, 4 weights, 1 code: 29 of 32 registers
  static constexpr int kVectors = 4;
  static constexpr int kSteps = 1;
  static constexpr int kWidth = 4;
  static constexpr int32_t kShift = 0;

  using Codes = __m512i;
  using Weights = __m512i;
  template <int kStep>
  static inline Codes spread(const uint8_t* a) {
    int32_t four;
    memcpy(&four, a, sizeof(four));
    return _mm512_set1_epi32(four);
  }
  static inline Weights weights(const int8_t* b) { return _mm512_loadu_si512(b); }
  static inline I add_dot(I sum, Codes a, Weights b) { return _mm512_dpbusd_epi32(sum, a, b); }
};

constexpr int kFloatRows = 6;  // 6 x 4 sums, 4 weights, 1 code: 29 of 32 registers
constexpr int kFloatVectors = 4;

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
