// AVX-512 BF16: the AVX-512 VNNI unit, and products of bfloat16 for who asks for them.
#pragma once

#include "kernels/cpu/simd_avx512_vnni.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

// The upper half of a float32, rounded half to even; subnormals are zero, NaNs quiet.
struct BFloat16 {
  uint16_t bits;
  explicit BFloat16(float x) {
    const __m128i lanes = (__m128i)_mm_cvtneps_pbh(_mm_set_ss(x));
    bits = static_cast<uint16_t>(_mm_cvtsi128_si32(lanes));
  }
  BFloat16() = default;
};

// Two products of bfloat16, each added to the float32 sum in its turn (vdpbf16ps).
struct DotBF16 {
  static constexpr int kRows = 6;  // 6 x 4 sums, 4 weights, 1 code: 29 of 32 registers
  static constexpr int kVectors = 4;
  static constexpr int kSteps = 1;
  static constexpr int kWidth = 2;
  static constexpr int32_t kShift = 0;

  using Element = BFloat16;
  using Codes = __m512i;
  using Weights = __m512i;
  // Rounds `count` floats, up to the next multiple of kLanes with zeros.
  static inline void round(const float* a, int64_t count, BFloat16* codes) {
    for (int64_t i = 0; i < count; i += kLanes) {
      const F x = count - i < kLanes ? load_first(a + i, count - i) : load(a + i);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i), (__m256i)_mm512_cvtneps_pbh(x));
    }
  }
  template <int kStep>
  static inline Codes spread(const BFloat16* a) {
    int32_t two;
    memcpy(&two, a, sizeof(two));
    return _mm512_set1_epi32(two);
  }
  static inline Weights weights(const BFloat16* b) { return _mm512_loadu_si512(b); }
  static inline F add_dot(F sum, Codes a, Weights b) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
  }
};

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
