// exp, sigmoid, tanh and sums in float32 without branches or calls, so that the compiler makes
// vectors of loops over them: four to eight times as fast as the C library's functions, which take
// one number at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace sanderling {

// condition ? yes : no by bits: a conditional expression of floats may trap in one branch only,
// which keeps compilers from making vectors of it.
inline float select(bool condition, float yes, float no) {
  const uint32_t mask = 0u - static_cast<uint32_t>(condition);
  return std::bit_cast<float>((std::bit_cast<uint32_t>(yes) & mask) |
                              (std::bit_cast<uint32_t>(no) & ~mask));
}

// exp(x) within 2 ulp for x in [-87, 88]; 0 below, the value at 88 (1.65e38) above; NaN stays NaN.
inline float exp_in_vectors(float x) {
  const float bounded = select(x > 88.0f, 88.0f, select(x < -87.0f, -87.0f, x));
  // Adding 1.5 * 2^23 rounds x / ln 2 to an integer n, which is then in the low bits of the sum.
  constexpr float kRounder = 12582912.0f;
  const float shifted = bounded * 1.44269504f + kRounder;
  const float n = shifted - kRounder;
  // ln 2 in two parts, the first of 9 bits, so that n times it is exact.
  const float r = (bounded - n * 0.693359375f) - n * -2.12194440e-4f;
  // Minimax polynomial of exp on [-ln 2 / 2, ln 2 / 2] (Cephes, expf).
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const float power = std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) << 23) + 0x3f800000u);
  return select(x < -87.0f, 0.0f, p * power);
}

// Within 4 * 2^-24 of the exact value.
inline float sigmoid_in_vectors(float x) { return 1.0f / (1.0f + exp_in_vectors(-x)); }

// Within 4 ulp of the exact value.
inline float tanh_in_vectors(float x) {
  const float size = std::fabs(x);
  // Near 0 the quotient below would cancel (Cephes, tanhf).
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float near = p * z * x + x;
  const float far = std::copysign(1.0f - 2.0f / (exp_in_vectors(size + size) + 1.0f), x);
  return select(size < 0.625f, near, far);
}

// The sum of term(i), a float, for i in [0, count). A float32 sum of so many terms would err by too
// much: here one has 256 terms at most.
template <typename Term>
double sum_in_vectors(int64_t count, const Term& term) {
  constexpr int64_t kLanes = 16, kTerms = kLanes * 256;
  double total = 0.0;
  for (int64_t begin = 0; begin < count; begin += kTerms) {
    const int64_t end = std::min(count, begin + kTerms);
    float lanes[kLanes] = {};
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes)
      for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
    for (; i < end; ++i) lanes[0] += term(i);
    for (float lane : lanes) total += static_cast<double>(lane);
  }
  return total;
}

// The sum of a[i] * b[i].
inline float dot_in_vectors(const float* a, const float* b, int64_t count) {
  constexpr int64_t kLanes = 16;
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  for (; i < count; ++i) lanes[0] += a[i] * b[i];
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  return lanes[0];
}

inline float largest_in_vectors(const float* x, int64_t count, float least) {
  constexpr int64_t kLanes = 16;
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, least);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] = select(x[i + lane] > lanes[lane], x[i + lane], lanes[lane]);
  for (; i < count; ++i) lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
  return *std::max_element(lanes, lanes + kLanes);
}

// x to its exponentials over their sum, in place; `largest` is the largest of x. Where that is
// infinite or one is NaN, all are NaN.
inline void softmax_in_vectors(float* x, int64_t count, float largest) {
  const auto factor = static_cast<float>(1.0 / sum_in_vectors(count, [&](int64_t i) {
                                           x[i] = exp_in_vectors(x[i] - largest);
                                           return x[i];
                                         }));
  for (int64_t i = 0; i < count; ++i) x[i] *= factor;
}

}  // namespace sanderling
