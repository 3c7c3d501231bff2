// Functions of one float that the compiler vectorizes in a loop: no branch, no table, no call.
// Bounds are of the error in units in the last place of the result (ulp), found by comparing with
// double; tests/ops/test_exp.py and its like hold them. NaN gives NaN. Coefficients are minimax
// fits (Lawson's iteration on Chebyshev nodes), each with its largest error relative to the result.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace sanderling {

// c0 + c1 x + c2 x^2 ...
inline float polynomial(float /*x*/, float last) { return last; }
template <typename... Rest>
float polynomial(float x, float c0, Rest... rest) {
  return c0 + x * polynomial(x, rest...);
}

// condition ? a : b. The operator would be a branch: compilers keep both sides apart as either
// might raise a floating-point flag.
inline float choose(bool condition, float a, float b) {
  const uint32_t mask = 0u - static_cast<uint32_t>(condition);
  return std::bit_cast<float>((std::bit_cast<uint32_t>(a) & mask) |
                              (std::bit_cast<uint32_t>(b) & ~mask));
}

// Adding it rounds a float below 2^22 to an integer, ties to even, which stands in the low bits
// then.
constexpr float kRounder = 0x1.8p23f;

// The integer nearest to x, ties to even; -0 stays -0.
inline float round_float(float x) {
  const float size = std::fabs(x);
  const float rounded = size + 0x1p23f - 0x1p23f;  // from 2^23 on floats are integers
  return std::copysign(choose(size < 0x1p23f, rounded, size), x);
}

inline float floor_float(float x) {
  const float rounded = round_float(x);
  return std::copysign(rounded - choose(rounded > x, 1.0f, 0.0f), x);
}

inline float ceil_float(float x) { return -floor_float(-x); }

// exp(x) = scale * (1 + rest): scale is the power of two for which rest is smallest.
struct ExpParts {
  uint32_t exponent;  // of scale, in two's complement
  float rest;         // expm1(x - exponent * log(2)), within 1 ulp
};

// For |x| up to 120.
inline ExpParts exp_parts(float x) {
  constexpr float kLog2E = 0x1.715476p0f;
  // log(2) in two parts: the first has 9 bits, so that its products are exact.
  constexpr float kHigh = 0x1.63p-1f, kLow = -0x1.bd0106p-13f;
  const float shifted = x * kLog2E + kRounder;
  const float n = shifted - kRounder;
  const float r = x - n * kHigh - n * kLow;
  // 1.3e-8 for |r| up to log(2) / 2.
  const float p = polynomial(r, 0.49999997f, 0.16666543f, 0.0416672f, 0.0083665205f, 0.0013882521f);
  return {std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRounder), r + r * r * p};
}

// 2^exponent, for exponents of normal floats.
inline float power_of_two(uint32_t exponent) {
  return std::bit_cast<float>((exponent + 127u) << 23);
}

// Within 1 ulp, subnormal results included.
inline float exp_float(float x) {
  // Beyond these the result is 0 and infinity.
  float inside = choose(x < -104.0f, -104.0f, x);
  inside = choose(inside > 89.0f, 89.0f, inside);
  const ExpParts parts = exp_parts(inside);
  // The scale as a product of two, as it may be no normal float itself.
  const uint32_t half = static_cast<uint32_t>(static_cast<int32_t>(parts.exponent) >> 1);
  return (1.0f + parts.rest) * power_of_two(half) * power_of_two(parts.exponent - half);
}

// exp(x) - 1 without cancellation, for x <= 0: within 2 ulp. What is above counts as 0.
inline float expm1_below_zero(float x) {
  float inside = choose(x < -20.0f, -20.0f, x);  // -1 from there on
  inside = choose(inside > 0.0f, 0.0f, inside);
  const ExpParts parts = exp_parts(inside);
  const float scale = power_of_two(parts.exponent);
  return scale * parts.rest + (scale - 1.0f);
}

// log(1 + u) for u in [0, 1]: within 3 ulp.
inline float log1p_to_one(float u) {
  const float s = u / (2.0f + u);
  const float z = s * s;  // log(1 + u) = 2 artanh(s)
  // 4.5e-9 for z up to 1/9.
  const float p = polynomial(z, 0.33333206f, 0.2001085f, 0.13999571f, 0.1401223f);
  return 2.0f * (s + s * z * p);
}

// Within 3 ulp. Where exp is infinite the quotient is 0, as it should be.
inline float sigmoid_float(float x) { return 1.0f / (1.0f + exp_float(-x)); }

}  // namespace sanderling
