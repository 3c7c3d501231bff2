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

// exp(-factor t^2) for t >= 0 and a factor of 1 or 1/2: within 3 ulp.
inline float exp_of_negative_square(float t, float factor) {
  const float inside = choose(t > 15.0f, 15.0f, t);  // 0 as a float from there on
  // The square in two parts: the first is of the upper 12 bits of t, so it is exact; the second is
  // below 0.2, where exp_parts has the exponent 0.
  const float upper = std::bit_cast<float>(std::bit_cast<uint32_t>(inside) & 0xfffff000u);
  const float lower = (inside - upper) * (inside + upper);
  return exp_float(-factor * (upper * upper)) * (1.0f + exp_parts(-factor * lower).rest);
}

// exp(t^2) (1 - erf(t)) for t >= 0: within 9 ulp.
inline float scaled_erfc(float t) {
  const float u = 1.0f / (1.0f + 0.35f * t);
  // 7.3e-9 for t up to 10.2, where 1 - erf(t) is 0 as a float.
  const float p = polynomial(u, 0.19748229f, 0.19716552f, 0.1876893f, 0.15212932f, 0.1434428f,
                             0.09165266f, -0.033058397f, 0.18533152f, -0.16052058f, 0.03868554f);
  return p * u;
}

// Within 2 ulp.
inline float erf_float(float x) {
  const float t = std::fabs(x);
  const float z = x * x;
  // 1.2e-8 for |x| up to 0.9.
  const float p = polynomial(z, 0.12837915f, -0.37612525f, 0.11282141f, -0.026778916f,
                             0.0050119716f, -0.00060903985f);
  const float near = x + x * p;
  const float far = std::copysign(1.0f - exp_of_negative_square(t, 1.0f) * scaled_erfc(t), x);
  return choose(t < 0.9f, near, far);
}

// Within 3 ulp. Where exp is infinite the quotient is 0, as it should be.
inline float sigmoid_float(float x) { return 1.0f / (1.0f + exp_float(-x)); }

// Within 4 ulp.
inline float tanh_float(float x) {
  const float e = expm1_below_zero(-2.0f * std::fabs(x));
  return std::copysign(e / (2.0f + e), x);
}

}  // namespace sanderling
