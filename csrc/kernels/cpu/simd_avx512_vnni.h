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
