// Stands in for the compiler's <immintrin.h> when the avx512_vnni unit is built over SIMDe
// (tests/cpp/CMakeLists.txt). SIMDe 0.7.4, which Debian 12 has, lacks the masked loads and stores
// and some conversions; they follow from their definition in Intel's intrinsics guide, lane by
// lane.
#pragma once

#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <math.h>
#include <simde/x86/avx512.h>
#include <string.h>

using __mmask16 = simde__mmask16;
#undef _mm512_madd_epi16  // SIMDe gives the name to a masked form
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)

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
// Sixteen lanes of From, one by one to To.
template <typename To, typename From, typename Result, typename Vector, typename Convert>
static Result emulated_convert(Vector x, Convert convert) {
  From from[16];
  To to[16];
  static_assert(sizeof(from) == sizeof(x) && sizeof(to) == sizeof(Result));
  memcpy(from, &x, sizeof(from));
  for (int i = 0; i < 16; ++i) to[i] = convert(from[i]);
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
