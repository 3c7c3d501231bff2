// NEON of Armv8.0-A (no dot product instructions).
#pragma once

#include "kernels/cpu/lanes_neon.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

// smull + sadalp: 8 products in 16 bits (at most 128 * 128), added in pairs to 32 bits, so nothing
// saturates. Both factors must be signed, so spread() subtracts 128 from each code (its top bit
// flipped) and the packed panel gives 128 * weights back.
struct DotU8S8 {
  static constexpr int kRows =
      4;  // 4 x 4 sums, 4 weights, 1 code, 1 product, the flip: 23 of 32 registers
  static constexpr int kVectors = 4;
  static constexpr int kSteps = 1;
  static constexpr int kWidth = 2;
  static constexpr int32_t kShift = 128;

  using Codes = int8x8_t;
  using Weights = int8x8_t;
  template <int kStep>
  static inline Codes spread(const uint8_t* a) {
    uint16_t two;
    memcpy(&two, a, sizeof(two));
    return vreinterpret_s8_u16(veor_u16(vdup_n_u16(two), vdup_n_u16(0x8080)));
  }
  static inline Weights weights(const int8_t* b) { return vld1_s8(b); }
  static inline I add_dot(I sum, Codes a, Weights b) { return vpadalq_s16(sum, vmull_s8(a, b)); }
};

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
