// NEON with the dot products of Armv8.2-A (Cortex-A55, A76, A78).
#pragma once

#include "kernels/cpu/lanes_neon.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

// sdot: each 32-bit lane adds four products, exactly. Both factors must be signed, so codes are
// shifted by 128 as in simd_neon.h; one load and one flip of 16 codes serve four steps, since sdot
// takes the four of one lane.
struct DotU8S8 {
  static constexpr int kRows = 5;  // 5 x 4 sums, 5 codes, the flip: 26 of 32, 6 left for weights
  static constexpr int kVectors = 4;
  static constexpr int kSteps = 1;
  static constexpr int kWidth = 4;
  static constexpr int32_t kShift = 128;
  static constexpr int kCodeLanes = 4;

  using Codes = int8x16_t;
  using Weights = int8x16_t;
  static inline Codes flipped(uint8x16_t codes) {
    return vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(0x80)));
  }
  static inline Codes spread_lanes(const uint8_t* a) { return flipped(vld1q_u8(a)); }
  template <int kStep>
  static inline Codes spread(const uint8_t* a) {
    uint32_t four;
    memcpy(&four, a, sizeof(four));
    return flipped(vreinterpretq_u8_u32(vdupq_n_u32(four)));
  }
  static inline Weights weights(const int8_t* b) { return vld1q_s8(b); }
  static inline I add_dot(I sum, Codes a, Weights b) { return vdotq_s32(sum, a, b); }
  template <int kLane>
  static inline I add_lane(I sum, Codes a, Weights b) {
    return vdotq_laneq_s32(sum, b, a, kLane);
  }
};

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
