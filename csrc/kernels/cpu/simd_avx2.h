// AVX2 and FMA.
#pragma once

#include "kernels/cpu/lanes_avx2.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

// Exact: codes and weights widen to 16 bits before they meet (vpmaddubsw would saturate: 2 * 255 *
// 127 > 32767). A broadcast of four codes serves two steps: its even bytes (masked) and its odd
// bytes (shifted) are two pairs of 16-bit codes.
struct DotU8S8 {
  static constexpr int kRows = 4;  // 4 x 2 sums, 2 weights, codes and the mask: 12 of 16 registers
  static constexpr int kVectors = 2;
  static constexpr int kSteps = 2;
  static constexpr int kWidth = 2;
  static constexpr int32_t kShift = 0;

  using Codes = __m256i;
  using Weights = __m256i;
  template <int kStep>
  static inline Codes spread(const uint8_t* a) {
    int32_t four;
    memcpy(&four, a, sizeof(four));
    const __m256i codes = _mm256_set1_epi32(four);
    if constexpr (kStep == 0) return _mm256_and_si256(codes, _mm256_set1_epi16(0xff));
    return _mm256_srli_epi16(codes, 8);
  }
  static inline Weights weights(const int8_t* b) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b)));
  }
  static inline I add_dot(I sum, Codes a, Weights b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
  }
};

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
