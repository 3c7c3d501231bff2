#include <algorithm>
#include <cmath>

#include "ops/parallel.h"
#include "ops/spatial_attributes.h"

namespace sanderling {
namespace {

// y = x / (bias + alpha / size * sum of squares of the channels around x's own) ^ beta
struct Settings {
  int64_t images, channels, inner;
  int64_t before, after;  // channels beside one's own
  double bias, factor, beta;
};

Settings settings_of(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  const int64_t size = context.attributes().integer("size", 0);
  return {.images = x[0],
          .channels = x[1],
          .inner = x.elements(2, x.rank()),
          .before = (size - 1) / 2,
          .after = size / 2,
          .bias = finite_number(context, "bias", 1.0f),
          .factor = finite_number(context, "alpha", 1e-4f) / static_cast<double>(size),
          .beta = finite_number(context, "beta", 0.75f)};
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  const Shape& x = context.input(0).shape;
  if (x.rank() < 2)
    context.error("x has shape ", x.to_string(), ", expected a batch and channels first");
  bounded_integer(context, "size", 0, 1, kMaxSpatialNumber);
  settings_of(context);
  context.set_output(0, context.input(0).dtype, x);
}

template <typename T>
void normalise(const ReferenceContext& context) {
  const Settings s = settings_of(context);
  for (int64_t n = 0; n < s.images; ++n) {
    const T* x = context.in<T>(0) + n * s.channels * s.inner;
    T* y = context.out<T>(0) + n * s.channels * s.inner;
    for (int64_t c = 0; c < s.channels; ++c) {
      for (int64_t i = 0; i < s.inner; ++i) {
        double sum = 0.0;
        for (int64_t other = std::max<int64_t>(0, c - s.before);
             other < std::min(s.channels, c + s.after + 1); ++other) {
          const auto value = static_cast<double>(x[other * s.inner + i]);
          sum += value * value;
        }
        y[c * s.inner + i] = static_cast<T>(static_cast<double>(x[c * s.inner + i]) /
                                            std::pow(s.bias + s.factor * sum, s.beta));
      }
    }
  }
}

void reference(const ReferenceContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    normalise<float>(context);
  else
    normalise<double>(context);
}

// Pixels of a task: their sums stay in L1.
constexpr int64_t kPixels = 1024;

// y = x / base ^ beta; nearly every model has beta 3/4, which needs no pow.
void divide(const float* x, const float* base, float beta, int64_t count, float* y) {
  if (beta == 0.75f) {
    for (int64_t i = 0; i < count; ++i) {
      const float root = std::sqrt(base[i]);
      y[i] = x[i] / (root * std::sqrt(root));
    }
  } else {
    for (int64_t i = 0; i < count; ++i) y[i] = x[i] / std::pow(base[i], beta);
  }
}

void run(const Settings& s, const StepArgs& args) {
  const int64_t chunks = (s.inner + kPixels - 1) / kPixels;
  const auto bias = static_cast<float>(s.bias), factor = static_cast<float>(s.factor);
  args.workers->for_each(s.images * chunks, [&](int64_t task, int thread) {
    auto* base =
        reinterpret_cast<float*>(args.scratch + static_cast<size_t>(thread) * args.scratch_stride);
    const int64_t first = task % chunks * kPixels, count = std::min(kPixels, s.inner - first);
    const int64_t at = task / chunks * s.channels * s.inner + first;
    const float* x = static_cast<const float*>(args.inputs[0]) + at;
    float* y = static_cast<float*>(args.outputs[0]) + at;
    for (int64_t c = 0; c < s.channels; ++c) {
      std::fill_n(base, count, 0.0f);
      for (int64_t other = std::max<int64_t>(0, c - s.before);
           other < std::min(s.channels, c + s.after + 1); ++other) {
        const float* from = x + other * s.inner;
        for (int64_t i = 0; i < count; ++i) base[i] += from[i] * from[i];
      }
      for (int64_t i = 0; i < count; ++i) base[i] = bias + factor * base[i];
      divide(x + c * s.inner, base, static_cast<float>(s.beta), count, y + c * s.inner);
    }
  });
}

void plan(PlanContext& context) {
  if (context.input(0).dtype != DType::kFloat32 || context.input(0).shape.elements() == 0) return;
  context.scratch(static_cast<size_t>(kPixels) * sizeof(float));
  context.emit(run, settings_of(context));
}

SANDERLING_OPERATOR(lrn)(
    {.name = "LRN", .since_opset = 1, .infer = infer, .reference = reference, .plan = plan});

}  // namespace
}  // namespace sanderling
