// Stands in for the compiler's <immintrin.h> when a unit is built over SIMDe
// (tests/cpp/CMakeLists.txt). SIMDe 0.7.4, which Debian 12 has, lacks the masked loads and stores,
// some conversions and the VEX names of AVX-VNNI; they follow from their definition in Intel's
// intrinsics guide, lane by lane. Its masked loads of AVX read the lanes that are masked off.
#pragma once

#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <math.h>
#include <simde/x86/avx512.h>
#include <string.h>

using __mmask16 = simde__mmask16;
#undef _mm512_madd_epi16  // SIMDe gives the name to a masked form
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)

#define _mm256_dpbusd_avx_epi32(sum, a, b) simde_mm256_dpbusd_epi32(sum, a, b)

template <typename Vector, typename T>
static Vector emulated_maskz_load(uint64_t mask, const T* p) {
  T lanes[sizeof(Vector) / sizeof(T)] = {};
  for (size_t i = 0; i < sizeof(lanes) / sizeof(T); ++i) {
    if (mask >> i & 1) lanes[i] = p[i];
  }
  Vector x;
  memcpy(&x, lanes, sizeof(x));
  return x;
}
template <typename T, typename Vector>
static void emulated_mask_store(T* p, uint64_t mask, Vector x) {
  T lanes[sizeof(Vector) / sizeof(T)];
  memcpy(lanes, &x, sizeof(x));
  for (size_t i = 0; i < sizeof(lanes) / sizeof(T); ++i) {
    if (mask >> i & 1) p[i] = lanes[i];
  }
}
// The masks of AVX2 are vectors: the top bit of each lane.
static uint64_t emulated_mask(__m256i lanes) {
  return static_cast<uint64_t>(simde_mm256_movemask_ps(simde_mm256_castsi256_ps(lanes)));
}
#undef _mm256_maskload_ps
#undef _mm256_maskstore_ps
#undef _mm256_maskload_epi32
#undef _mm256_maskstore_epi32
static __m256 _mm256_maskload_ps(const float* p, __m256i mask) {
  return emulated_maskz_load<__m256>(emulated_mask(mask), p);
}
static __m256i _mm256_maskload_epi32(const int* p, __m256i mask) {
  return emulated_maskz_load<__m256i>(emulated_mask(mask), p);
}
static void _mm256_maskstore_ps(float* p, __m256i mask, __m256 x) {
  emulated_mask_store(p, emulated_mask(mask), x);
}
static void _mm256_maskstore_epi32(int* p, __m256i mask, __m256i x) {
  emulated_mask_store(p, emulated_mask(mask), x);
}

// The lanes of From, one by one to To.
template <typename To, typename From, typename Result, typename Vector, typename Convert>
static Result emulated_convert(Vector x, Convert convert) {
  constexpr int kLanes = sizeof(x) / sizeof(From);
  From from[kLanes];
  To to[sizeof(Result) / sizeof(To)] = {};
  static_assert(sizeof(from) == sizeof(x) && sizeof(to) == sizeof(Result));
  static_assert(sizeof(to) >= kLanes * sizeof(To));
  memcpy(from, &x, sizeof(from));
  for (int i = 0; i < kLanes; ++i) to[i] = convert(from[i]);
  Result result;
  memcpy(&result, to, sizeof(to));
  return result;
}

static __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void* p) {
  return emulated_maskz_load<__m512>(mask, static_cast<const float*>(p));
}
static __m512i _mm512_maskz_loadu_epi32(__mmask16 mask, const void* p) {
  return emulated_maskz_load<__m512i>(mask, static_cast<const int32_t*>(p));
}
static __m128i _mm_maskz_loadu_epi8(__mmask16 mask, const void* p) {
  return emulated_maskz_load<__m128i>(mask, static_cast<const int8_t*>(p));
}
static void _mm512_mask_storeu_ps(void* p, __mmask16 mask, __m512 x) {
  emulated_mask_store(static_cast<float*>(p), mask, x);
}
static void _mm512_mask_storeu_epi32(void* p, __mmask16 mask, __m512i x) {
  emulated_mask_store(static_cast<int32_t*>(p), mask, x);
}
static void _mm_mask_storeu_epi8(void* p, __mmask16 mask, __m128i x) {
  emulated_mask_store(static_cast<int8_t*>(p), mask, x);
}
static __m512i _mm512_cvtepu8_epi32(__m128i x) {
  return emulated_convert<int32_t, uint8_t, __m512i>(x, [](uint8_t lane) { return int32_t{lane}; });
}
static __m512i _mm512_cvtepi8_epi32(__m128i x) {
  return emulated_convert<int32_t, int8_t, __m512i>(x, [](int8_t lane) { return int32_t{lane}; });
}
static __m128i _mm512_cvtepi32_epi8(__m512i x) {
  return emulated_convert<int8_t, int32_t, __m128i>(
      x, [](int32_t lane) { return static_cast<int8_t>(lane); });
}
static __m512 _mm512_cvtepi32_ps(__m512i x) {
  return emulated_convert<float, int32_t, __m512>(
      x, [](int32_t lane) { return static_cast<float>(lane); });
}
// What does not fit gives INT32_MIN, the "integer indefinite" of the hardware.
static __m512i _mm512_cvtps_epi32(__m512 x) {
  return emulated_convert<int32_t, float, __m512i>(x, [](float lane) {
    const float whole = nearbyintf(lane);
    return whole >= -2147483648.0f && whole < 2147483648.0f ? static_cast<int32_t>(whole)
                                                            : INT32_MIN;
  });
}
// Half to even; subnormals give zero, NaNs become quiet.
static uint16_t emulated_bfloat16(float lane) {
  uint32_t bits;
  memcpy(&bits, &lane, sizeof(bits));
  if (lane != lane) return static_cast<uint16_t>(bits >> 16 | 0x40);
  if ((bits & 0x7f800000u) == 0) return static_cast<uint16_t>(bits >> 16 & 0x8000);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
static __m256bh _mm512_cvtneps_pbh(__m512 x) {
  return emulated_convert<uint16_t, float, __m256bh>(x, emulated_bfloat16);
}
static __m128bh _mm_cvtneps_pbh(__m128 x) {
  return emulated_convert<uint16_t, float, __m128bh>(x, emulated_bfloat16);
}
