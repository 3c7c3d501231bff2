// NEON with the 8-bit matrix products of Armv8.6-A (Cortex-A710, Neoverse-V1 and later).
#pragma once

#include "kernels/cpu/lanes_neon.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

// usmmla: 2 rows of 8 codes by 2 columns of 8 weights, added to a 2 x 2 sum, exactly. It takes
// codes unsigned as they are. A single row is multiplied twice: what is left is as many products
// per instruction as sdot has.
struct DotU8S8 {
  static constexpr int kRows = 6;  // 3 x 8 sums, 3 codes: 27 of 32, 5 left for weights
  static constexpr int kVectors = 4;
  static constexpr int kSteps = 1;
  static constexpr int kWidth = 8;
  static constexpr int32_t kShift = 0;
  static constexpr int kSumRows = 2;

  using Codes = uint8x16_t;
  using Weights = int8x16_t;
  static inline Codes spread_pair(const uint8_t* a, const uint8_t* next) {
    return vcombine_u8(vld1_u8(a), vld1_u8(next));
  }
  static inline Weights weights(const int8_t* b) { return vld1q_s8(b); }
  static inline I add_dot(I sum, Codes a, Weights b) { return vusmmlaq_s32(sum, a, b); }
  // A row of the four columns that two sums hold.
  static inline I row_of(int row, I left, I right) {
    const int64x2_t a = vreinterpretq_s64_s32(left);
    const int64x2_t b = vreinterpretq_s64_s32(right);
    return vreinterpretq_s32_s64(row == 0 ? vzip1q_s64(a, b) : vzip2q_s64(a, b));
  }
};

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
