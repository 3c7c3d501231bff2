// AVX-VNNI: AVX2 with the dot product of AVX-512 VNNI, for CPUs without AVX-512.
#pragma once

#include "kernels/cpu/lanes_avx2.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

struct DotU8S8 {
  static constexpr int kRows = 6;  // 6 x 2 sums, 2 weights, 1 code: 15 of 16 registers
  static constexpr int kVectors = 2;
  static constexpr int kSteps = 1;
  static constexpr int kWidth = 4;
  static constexpr int32_t kShift = 0;

  using Codes = __m256i;
  using Weights = __m256i;
  template <int kStep>
  static inline Codes spread(const uint8_t* a) {
    int32_t four;
    memcpy(&four, a, sizeof(four));
    return _mm256_set1_epi32(four);
  }
  static inline Weights weights(const int8_t* b) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
  }
  static inline I add_dot(I sum, Codes a, Weights b) { return _mm256_dpbusd_avx_epi32(sum, a, b); }
};

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
