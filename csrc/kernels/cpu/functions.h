// exp and what is made of it, over vectors: no branch, no table. Bounds are of the error in units
// in the last place of the result (ulp), subnormal results included, whether or not multiply_add
// is fused; tests/cpp/kernels_test_functions.cc holds them. NaN gives NaN. Coefficients are minimax
// fits (Lawson's iteration on Chebyshev nodes), each with its largest error relative to the result.
#pragma once

#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/whole.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

// c0 + c1 x + c2 x^2 ...
inline F polynomial(F /*x*/, float last) { return splat(last); }
template <typename... Rest>
inline F polynomial(F x, float c0, Rest... rest) {
  return multiply_add(polynomial(x, rest...), x, splat(c0));
}

inline F absolute(F x) { return float_of(bit_and(bits_of(x), splat(int32_t{0x7fffffff}))); }
inline F negative(F x) { return sub(splat(-0.0f), x); }
// `size`, which is not negative, with the sign of x.
inline F with_sign(F size, F x) {
  return float_of(bit_or(bits_of(size), bit_and(bits_of(x), splat(INT32_MIN))));
}

// exp(x) = 2^n * (1 + rest), for the whole n nearest to x / log(2).
struct ExpParts {
  F n;
  F rest;  // expm1(x - n * log(2)), within 1 ulp
};

// For |x| up to 120.
inline ExpParts exp_parts(F x) {
  constexpr float kLog2E = 0x1.715476p0f;
  // log(2) in two parts (Cody and Waite): the first has 9 bits, so that its products are exact.
  constexpr float kHigh = 0x1.63p-1f, kLow = -0x1.bd0106p-13f;
  const F shifted = multiply_add(x, splat(kLog2E), splat(kWhole));
  const F n = sub(shifted, splat(kWhole));
  const F r = multiply_add(n, splat(-kLow), multiply_add(n, splat(-kHigh), x));
  // 1.3e-8 for |r| up to log(2) / 2.
  const F p = polynomial(r, 0.49999997f, 0.16666543f, 0.0416672f, 0.0083665205f, 0.0013882521f);
  return {n, multiply_add(mul(r, r), p, r)};
}

// 2^n, for n of normal floats.
inline F power_of_two(F n) {
  return float_of(shift_left<23>(bits_of(add(n, splat(kWhole + 127.0f)))));
}

// Within 1 ulp.
inline F exp(F x) {
  // Beyond these the result is 0 and infinity.
  const ExpParts parts = exp_parts(clip(x, splat(-104.0f), splat(89.0f)));
  return times_power_of_two(add(splat(1.0f), parts.rest), parts.n);
}

// Within 1 ulp for x <= 0. What float32 has no normal number for is 0: those would be slow, and add
// nothing to a sum that has a 1 in it.
inline F exp_below_zero(F x) {
  constexpr float kLeast = -87.3f;  // e^-87.3 > 2^-126
  const ExpParts parts = exp_parts(max_or_second(splat(kLeast), x));
  const F power = power_of_two(parts.n);
  return if_less(x, splat(kLeast), splat(0.0f), multiply_add(power, parts.rest, power));
}

// Within 3 ulp.
inline F sigmoid(F x) {
  const F e = exp(negative(absolute(x)));  // at most 1, so the quotient keeps its bits
  const F one = splat(1.0f);
  return div(if_less(x, splat(0.0f), e, one), add(one, e));
}

// x sigmoid(factor x).
inline F swish(F x, F factor) { return mul(x, sigmoid(mul(factor, x))); }

// Within 4 ulp. tanh(x) = m / (2 - m) with m = 1 - exp(-2 x), which is made without cancellation.
inline F tanh(F x) {
  // m is 1 from there on.
  const ExpParts parts = exp_parts(max_or_second(splat(-20.0f), mul(absolute(x), splat(-2.0f))));
  const F power = power_of_two(parts.n);
  const F m = multiply_add(negative(power), parts.rest, sub(splat(1.0f), power));
  return with_sign(div(m, sub(splat(2.0f), m)), x);
}

// Within 2 ulp.
inline F erf(F x) {
  constexpr float kNear = 0.9f;
  const F size = absolute(x);
  // 1.2e-8 for |x| up to 0.9.
  const F p = polynomial(mul(x, x), 0.12837915f, -0.37612525f, 0.11282141f, -0.026778916f,
                         0.0050119716f, -0.00060903985f);
  const F near = multiply_add(x, p, x);
  // log(1 - erf(t)): 2e-9 of erf(t) for t from 0.85 to 4, where erf is 1 as a float.
  const F t = min_or_second(splat(4.0f), size);
  const ExpParts parts =
      exp_parts(polynomial(t, -0.00011470345f, -1.1280154f, -0.63660166f, -0.10444803f,
                           0.022478975f, -0.0031071791f, 0.00020252736f));
  const F power = power_of_two(parts.n);
  const F far = with_sign(sub(splat(1.0f), multiply_add(power, parts.rest, power)), x);
  return if_less(size, splat(kNear), near, far);
}

// x * (1 + erf(x / sqrt(2))) / 2, without cancellation where erf is near -1: within 8 ulp.
inline F gelu(F x) {
  const F t = min_or_second(splat(15.0f), absolute(x));  // exp(-t^2 / 2) is 0 from there on
  // t^2 in two parts, the rounded square and what it lacks (Dekker): exp needs more than 24 bits of
  // it. The square of the upper 12 bits of t is exact.
  const F upper = float_of(bit_and(bits_of(t), splat(int32_t{-4096})));
  const F square = mul(t, t);
  const F lack = multiply_add(sub(t, upper), add(t, upper), sub(mul(upper, upper), square));
  const ExpParts parts = exp_parts(mul(square, splat(-0.5f)));
  const F power = add(splat(1.0f), parts.rest);
  // lack / 2 is so small that its exp is 1 minus itself.
  const F scaled = multiply_add(mul(lack, splat(-0.5f)), power, power);
  // exp(t^2 / 2) (1 - erf(t / sqrt(2))): 1e-8 for t up to 15.
  const F u = div(splat(1.0f), multiply_add(t, splat(0.25f), splat(1.0f)));
  const F p = polynomial(u, 0.19948998f, 0.19909269f, 0.19017928f, 0.14780498f, 0.16273603f,
                         0.04442425f, 0.034771647f, 0.11938469f, -0.13223779f, 0.034354262f);
  const F tail = times_power_of_two(mul(scaled, mul(u, p)), parts.n);
  const F twice = if_less(splat(0.0f), x, sub(splat(2.0f), tail), tail);
  return mul(mul(x, splat(0.5f)), twice);
}

// x * (1 + tanh(v)) / 2 = x * sigmoid(2 v).
inline F tanh_gelu(F x) {
  constexpr float kTwoSqrtTwoOverPi = 1.5957691216057308f;
  const F cubed = mul(mul(x, x), mul(x, splat(0.044715f)));
  return mul(x, sigmoid(mul(add(x, cubed), splat(kTwoSqrtTwoOverPi))));
}

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
