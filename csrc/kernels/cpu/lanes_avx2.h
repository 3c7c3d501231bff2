// 8 lanes in 16 registers, for the units of CPUs with AVX2 and FMA: all that simd_<isa>.h must have
// but DotU8S8. What each function means is said in simd_scalar.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

using F = __m256;
using I = __m256i;
constexpr int kLanes = 8;

// All ones in the first n lanes.
inline I first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
// The first n < 8 bytes, the last read first. Branches, since memcpy of n bytes would be a call.
inline __m128i first_bytes(const void* p, int64_t n) {
  const char* end = static_cast<const char*>(p) + n;
  uint64_t bytes = 0;
  if (n & 1) bytes = static_cast<uint8_t>(*--end);
  if (n & 2) {
    uint16_t two;
    memcpy(&two, end -= 2, sizeof(two));
    bytes = bytes << 16 | two;
  }
  if (n & 4) {
    uint32_t four;
    memcpy(&four, end -= 4, sizeof(four));
    bytes = bytes << 32 | four;
  }
  return _mm_cvtsi64_si128(static_cast<int64_t>(bytes));
}

inline F splat(float x) { return _mm256_set1_ps(x); }
inline F load(const float* p) { return _mm256_loadu_ps(p); }
inline F load_first(const float* p, int64_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
inline void store(float* p, F x) { _mm256_storeu_ps(p, x); }
inline void store_first(float* p, F x, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), x); }

inline I splat(int32_t x) { return _mm256_set1_epi32(x); }
inline I load(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline I load_first(const int32_t* p, int64_t n) {
  return _mm256_maskload_epi32(p, first_lanes(n));
}
inline void store(int32_t* p, I x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
inline void store_first(int32_t* p, I x, int64_t n) {
  _mm256_maskstore_epi32(p, first_lanes(n), x);
}

inline I load(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
inline I load_first(const uint8_t* p, int64_t n) { return _mm256_cvtepu8_epi32(first_bytes(p, n)); }
inline I load(const int8_t* p) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
inline I load_first(const int8_t* p, int64_t n) { return _mm256_cvtepi8_epi32(first_bytes(p, n)); }
inline __m128i narrow(I x) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  return _mm_packus_epi16(words, words);
}
inline void store(uint8_t* p, I x) { _mm_storel_epi64(reinterpret_cast<__m128i*>(p), narrow(x)); }
inline void store_first(uint8_t* p, I x, int64_t n) {
  uint64_t bytes = static_cast<uint64_t>(_mm_cvtsi128_si64(narrow(x)));
  if (n & 4) {
    memcpy(p, &bytes, 4);
    p += 4;
    bytes >>= 32;
  }
  if (n & 2) {
    memcpy(p, &bytes, 2);
    p += 2;
    bytes >>= 16;
  }
  if (n & 1) *p = static_cast<uint8_t>(bytes);
}

inline F add(F a, F b) { return _mm256_add_ps(a, b); }
inline F sub(F a, F b) { return _mm256_sub_ps(a, b); }
inline F mul(F a, F b) { return _mm256_mul_ps(a, b); }
inline F div(F a, F b) { return _mm256_div_ps(a, b); }
inline F multiply_add(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
inline F max_or_second(F a, F b) { return _mm256_max_ps(a, b); }
inline F min_or_second(F a, F b) { return _mm256_min_ps(a, b); }
inline F first_if_nan(F a, F b) {
  return _mm256_blendv_ps(b, a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
inline int count_nan(F x) {
  return __builtin_popcount(
      static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x, x, _CMP_UNORD_Q))));
}

inline I add(I a, I b) { return _mm256_add_epi32(a, b); }
inline I sub(I a, I b) { return _mm256_sub_epi32(a, b); }
inline I mul(I a, I b) { return _mm256_mullo_epi32(a, b); }
inline F to_float(I x) { return _mm256_cvtepi32_ps(x); }
inline I round_to_int(F x) { return _mm256_cvtps_epi32(x); }
inline I bits_of(F x) { return _mm256_castps_si256(x); }
inline F float_of(I x) { return _mm256_castsi256_ps(x); }
template <int kBits>
inline I shift_left(I x) {
  return _mm256_slli_epi32(x, kBits);
}
inline I bit_and(I a, I b) { return _mm256_and_si256(a, b); }
inline I bit_or(I a, I b) { return _mm256_or_si256(a, b); }

inline F if_less(F a, F b, F yes, F no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
inline F first_or(F x, int64_t n, F other) {
  return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(first_lanes(n)));
}

inline float sum_of(F x) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float largest_of(F x) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// The upper 16 bits of a code's lane are zero, so the pair product of vpmaddwd is the product:
// cheaper than vpmulld.
inline I add_product(I sum, I x, I w) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)); }

constexpr int kFloatRows = 6;  // 6 x 2 sums, 2 weights, 1 code: 15 of 16 registers
constexpr int kFloatVectors = 2;

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME

#include "kernels/cpu/power_of_two.h"
