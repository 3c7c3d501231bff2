#include "ops/softmax_step.h"

#include <bit>
#include <cmath>
#include <limits>

#include "ops/axis_lanes.h"

namespace sanderling {
namespace {

// exp(x) of x <= 0 (or NaN) in arithmetic that compilers make vectors of: 2^n * e^r with
// |r| <= ln(2) / 2, the polynomial is Cephes' (expf.c), the error 1 ulp. What float32 has no normal
// number for is 0.
inline float power_of(float x) {
  constexpr float kLeast = -87.3f;         // e^-87.3 > 2^-126
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: the sum's low bits are an integer
  const float shifted = x * 1.44269504f + kRounder;
  const float n = shifted - kRounder;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln(2) in two parts
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRounder);
  const float power = p * std::bit_cast<float>((exponent + 127u) << 23);
  // Below kLeast it is anything, and dropped as bits: GCC makes no vectors where a float is
  // selected before or after arithmetic.
  return std::bit_cast<float>(std::bit_cast<uint32_t>(power) & (x < kLeast ? 0u : ~0u));
}

// Independent maxima and sums hide the latency of their operations.
constexpr int64_t kLanes = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float largest_of(const float* x, int64_t count) {
  float largest[kLanes];
  std::fill_n(largest, kLanes, -kInfinity);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane)
      largest[lane] = x[i + lane] > largest[lane] ? x[i + lane] : largest[lane];
  for (; i < count; ++i) largest[0] = std::max(largest[0], x[i]);
  return *std::max_element(largest, largest + kLanes);
}

// y = exp(x - largest), and their sum. It is double: a float32 sum of n terms would lose log2(n)
// bits.
double sum_powers(const float* x, float* y, int64_t count, float largest) {
  double sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) y[i + lane] = power_of(x[i + lane] - largest);
    for (int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += static_cast<double>(y[i + lane]);
  }
  for (; i < count; ++i) {
    y[i] = power_of(x[i] - largest);
    sums[0] += static_cast<double>(y[i]);
  }
  double sum = 0.0;
  for (double part : sums) sum += part;
  return sum;
}

// x is normalised into y; in double, so that the result is rounded once. For the logarithm y's
// powers are only written to be summed.
template <bool kLogarithm>
void finish(const float* x, float* y, int64_t count, float largest, double sum) {
  if constexpr (kLogarithm) {
    const double offset = static_cast<double>(largest) + std::log(sum);
    for (int64_t i = 0; i < count; ++i)
      y[i] = static_cast<float>(static_cast<double>(x[i]) - offset);
  } else {
    const double factor = 1.0 / sum;
    for (int64_t i = 0; i < count; ++i)
      y[i] = static_cast<float>(static_cast<double>(y[i]) * factor);
  }
}

template <bool kLogarithm>
void normalise_columns(const float* x, float* y, const AxisLanes& lanes, int64_t count) {
  float largest[kLaneTile];
  double totals[kLaneTile];
  std::fill_n(largest, count, -kInfinity);
  std::fill_n(totals, count, 0.0);
  for (int64_t i = 0; i < lanes.length; ++i) {
    const float* row = x + i * lanes.inner;
    for (int64_t c = 0; c < count; ++c) largest[c] = row[c] > largest[c] ? row[c] : largest[c];
  }
  for (int64_t i = 0; i < lanes.length; ++i) {
    const float* row = x + i * lanes.inner;
    float* to = y + i * lanes.inner;
    for (int64_t c = 0; c < count; ++c) to[c] = power_of(row[c] - largest[c]);
    for (int64_t c = 0; c < count; ++c) totals[c] += static_cast<double>(to[c]);
  }
  for (int64_t c = 0; c < count; ++c)
    totals[c] =
        kLogarithm ? static_cast<double>(largest[c]) + std::log(totals[c]) : 1.0 / totals[c];
  for (int64_t i = 0; i < lanes.length; ++i) {
    const float* row = x + i * lanes.inner;
    float* to = y + i * lanes.inner;
    for (int64_t c = 0; c < count; ++c)
      to[c] = static_cast<float>(kLogarithm ? static_cast<double>(row[c]) - totals[c]
                                            : static_cast<double>(to[c]) * totals[c]);
  }
}

template <bool kLogarithm>
void run(const AxisLanes& lanes, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  for_each_lanes(
      *args.workers, lanes, kFunctionGrain,
      [&](int64_t begin, int64_t end) {
        for (int64_t lane = begin; lane < end; ++lane) {
          const int64_t at = lane * lanes.length;
          const float largest = largest_of(x + at, lanes.length);
          const double sum = sum_powers(x + at, y + at, lanes.length, largest);
          finish<kLogarithm>(x + at, y + at, lanes.length, largest, sum);
        }
      },
      [&](int64_t start, int64_t count) {
        normalise_columns<kLogarithm>(x + start, y + start, lanes, count);
      });
}

}  // namespace

void plan_softmax(PlanContext& context, bool logarithm) {
  if (context.input(0).dtype != DType::kFloat32) return;
  context.emit(logarithm ? run<true> : run<false>, softmax_lanes(context));
}

}  // namespace sanderling
