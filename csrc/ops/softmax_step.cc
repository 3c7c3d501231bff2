#include "ops/softmax_step.h"

#include <cmath>
#include <limits>

#include "kernels/table.h"
#include "ops/axis_lanes.h"

namespace sanderling {
namespace {

struct Step {
  AxisLanes lanes;
  const KernelTable* kernels;
};

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// y = x - one[0], or - one[i] where b_step is 1.
void subtract(const KernelTable& kernels, const float* x, const float* b, int64_t b_step, float* y,
              int64_t count) {
  kernels.sub_f32({.count = count, .a = x, .a_step = 1, .b = b, .b_step = b_step, .y = y});
}

// The logarithm is taken from x - largest, so that large numbers lose nothing.
template <bool kLogarithm>
void normalise_row(const KernelTable& kernels, const float* x, float* y, int64_t count) {
  const float largest = kernels.largest_f32(x, count);
  if constexpr (!kLogarithm) return kernels.softmax_f32(x, y, count, largest);
  const auto offset = static_cast<float>(std::log(kernels.sum_exp_f32(x, count, largest)));
  subtract(kernels, x, &largest, 0, y, count);
  subtract(kernels, y, &offset, 0, y, count);
}

// The same for `count` lanes side by side, whose elements are `inner` apart.
template <bool kLogarithm>
void normalise_columns(const Step& s, const float* x, float* y, int64_t count) {
  // Rows whose powers are summed in float32 before they join a double: a sum of n terms may lose
  // log2(n) bits.
  constexpr int64_t kTerms = 64;
  const KernelTable& kernels = *s.kernels;
  const int64_t length = s.lanes.length, inner = s.lanes.inner;
  float largest[kLaneTile], part[kLaneTile], power[kLaneTile];
  double totals[kLaneTile];
  std::fill_n(largest, count, -kInfinity);
  std::fill_n(totals, count, 0.0);
  for (int64_t i = 0; i < length; ++i) kernels.max_f32(x + i * inner, largest, count);
  for (int64_t begin = 0; begin < length; begin += kTerms) {
    std::fill_n(part, count, 0.0f);
    for (int64_t i = begin; i < std::min(length, begin + kTerms); ++i) {
      float* const to = kLogarithm ? power : y + i * inner;
      subtract(kernels, x + i * inner, largest, 1, to, count);
      kernels.exp_f32(to, to, count);
      kernels.accumulate_f32(to, part, count);
    }
    for (int64_t c = 0; c < count; ++c) totals[c] += static_cast<double>(part[c]);
  }
  for (int64_t c = 0; c < count; ++c)
    part[c] = static_cast<float>(kLogarithm ? std::log(totals[c]) : 1.0 / totals[c]);
  for (int64_t i = 0; i < length; ++i) {
    float* const to = y + i * inner;
    if constexpr (kLogarithm) {
      subtract(kernels, x + i * inner, largest, 1, to, count);
      subtract(kernels, to, part, 1, to, count);
    } else {
      kernels.mul_f32({.count = count, .a = to, .a_step = 1, .b = part, .b_step = 1, .y = to});
    }
  }
}

template <bool kLogarithm>
void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  const int64_t length = step.lanes.length;
  for_each_lanes(
      *args.workers, step.lanes, kFunctionGrain,
      [&](int64_t begin, int64_t end) {
        for (int64_t at = begin * length; at < end * length; at += length)
          normalise_row<kLogarithm>(*step.kernels, x + at, y + at, length);
      },
      [&](int64_t start, int64_t count) {
        normalise_columns<kLogarithm>(step, x + start, y + start, count);
      });
}

}  // namespace

void plan_softmax(PlanContext& context, bool logarithm) {
  if (context.input(0).dtype != DType::kFloat32) return;
  context.emit(logarithm ? run<true> : run<false>, Step{softmax_lanes(context), &context.kernels()},
               logarithm ? "sum_exp_f32" : "softmax_f32");
}

}  // namespace sanderling
