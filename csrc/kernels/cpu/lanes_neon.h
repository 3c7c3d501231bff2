// What the NEON units share, all but the integer dot product: 4 lanes in 32 registers. What each
// function means is said in simd_scalar.h.
#pragma once

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

using F = float32x4_t;
using I = int32x4_t;
constexpr int kLanes = 4;

inline F splat(float x) { return vdupq_n_f32(x); }
inline F load(const float* p) { return vld1q_f32(p); }
inline F load_first(const float* p, int64_t n) {
  F x = vsetq_lane_f32(p[0], vdupq_n_f32(0), 0);
  if (n > 1) x = vsetq_lane_f32(p[1], x, 1);
  return n > 2 ? vsetq_lane_f32(p[2], x, 2) : x;
}
inline void store(float* p, F x) { vst1q_f32(p, x); }
inline void store_first(float* p, F x, int64_t n) {
  p[0] = vgetq_lane_f32(x, 0);
  if (n > 1) p[1] = vgetq_lane_f32(x, 1);
  if (n > 2) p[2] = vgetq_lane_f32(x, 2);
}

inline I splat(int32_t x) { return vdupq_n_s32(x); }
inline I load(const int32_t* p) { return vld1q_s32(p); }
inline I load_first(const int32_t* p, int64_t n) {
  I x = vsetq_lane_s32(p[0], vdupq_n_s32(0), 0);
  if (n > 1) x = vsetq_lane_s32(p[1], x, 1);
  return n > 2 ? vsetq_lane_s32(p[2], x, 2) : x;
}
inline void store(int32_t* p, I x) { vst1q_s32(p, x); }
inline void store_first(int32_t* p, I x, int64_t n) {
  p[0] = vgetq_lane_s32(x, 0);
  if (n > 1) p[1] = vgetq_lane_s32(x, 1);
  if (n > 2) p[2] = vgetq_lane_s32(x, 2);
}

// The first n <= 4 bytes. Branches, since memcpy of n bytes would be a call.
inline uint8x8_t first_bytes(const void* p, int64_t n) {
  const auto* const bytes = static_cast<const uint8_t*>(p);
  uint32_t four = 0;
  if (n == 4) {
    memcpy(&four, bytes, sizeof(four));
  } else {
    four = bytes[0];
    if (n > 1) four |= static_cast<uint32_t>(bytes[1]) << 8;
    if (n > 2) four |= static_cast<uint32_t>(bytes[2]) << 16;
  }
  return vreinterpret_u8_u32(vdup_n_u32(four));
}
inline I widen(uint8x8_t x) { return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(x)))); }
inline I widen(int8x8_t x) { return vmovl_s16(vget_low_s16(vmovl_s8(x))); }
inline I load(const uint8_t* p) { return widen(first_bytes(p, 4)); }
inline I load_first(const uint8_t* p, int64_t n) { return widen(first_bytes(p, n)); }
inline I load(const int8_t* p) { return widen(vreinterpret_s8_u8(first_bytes(p, 4))); }
inline I load_first(const int8_t* p, int64_t n) {
  return widen(vreinterpret_s8_u8(first_bytes(p, n)));
}
inline void store_first(uint8_t* p, I x, int64_t n) {
  const uint16x4_t words = vmovn_u32(vreinterpretq_u32_s32(x));
  const uint8x8_t bytes = vmovn_u16(vcombine_u16(words, words));
  const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
  if (n == 4) {
    memcpy(p, &four, sizeof(four));
    return;
  }
  p[0] = static_cast<uint8_t>(four);
  if (n > 1) p[1] = static_cast<uint8_t>(four >> 8);
  if (n > 2) p[2] = static_cast<uint8_t>(four >> 16);
}
inline void store(uint8_t* p, I x) { store_first(p, x, 4); }

inline F add(F a, F b) { return vaddq_f32(a, b); }
inline F sub(F a, F b) { return vsubq_f32(a, b); }
inline F mul(F a, F b) { return vmulq_f32(a, b); }
inline F div(F a, F b) { return vdivq_f32(a, b); }
inline F multiply_add(F a, F b, F c) { return vfmaq_f32(c, a, b); }
// Not vmaxq_f32: it gives NaN if either is NaN, and orders the two zeros.
inline F max_or_second(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline F min_or_second(F a, F b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
inline F first_if_nan(F a, F b) { return vbslq_f32(vceqq_f32(a, a), b, a); }
inline int count_nan(F x) {
  return 4 - static_cast<int>(vaddvq_u32(vshrq_n_u32(vceqq_f32(x, x), 31)));
}

inline I add(I a, I b) { return vaddq_s32(a, b); }
inline I sub(I a, I b) { return vsubq_s32(a, b); }
inline I mul(I a, I b) { return vmulq_s32(a, b); }
inline F to_float(I x) { return vcvtq_f32_s32(x); }
inline I round_to_int(F x) { return vcvtnq_s32_f32(x); }
inline I add_product(I sum, I x, I w) { return vmlaq_s32(sum, x, w); }

inline I bits_of(F x) { return vreinterpretq_s32_f32(x); }
inline F float_of(I x) { return vreinterpretq_f32_s32(x); }
template <int kBits>
inline I shift_left(I x) {
  return vshlq_n_s32(x, kBits);
}
inline I bit_and(I a, I b) { return vandq_s32(a, b); }
inline I bit_or(I a, I b) { return vorrq_s32(a, b); }

inline F if_less(F a, F b, F yes, F no) { return vbslq_f32(vcltq_f32(a, b), yes, no); }
inline F first_or(F x, int64_t n, F other) {
  const int32_t places[4] = {0, 1, 2, 3};
  const uint32x4_t is_first = vcltq_s32(vld1q_s32(places), vdupq_n_s32(static_cast<int32_t>(n)));
  return vbslq_f32(is_first, x, other);
}

inline float sum_of(F x) { return vaddvq_f32(x); }
inline float largest_of(F x) { return vmaxvq_f32(x); }

constexpr int kFloatRows = 5;  // 5 x 4 sums, 4 weights, 5 codes: 29 of 32 registers
constexpr int kFloatVectors = 4;

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME

#include "kernels/cpu/power_of_two.h"
