#include <cmath>
#include <limits>
#include <type_traits>

#include "ops/ai_onnx_ml/rows.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_features_dtype(context, 0);
  context.attributes().number("threshold", 0.0f);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

// The largest T that is not above the threshold: integers are compared as integers, since float32
// has not all of them.
template <typename T>
T bound(float threshold) {
  if constexpr (std::is_floating_point_v<T>) {
    return threshold;
  } else {
    const double floor = std::floor(static_cast<double>(threshold));
    // As a double the largest of 64 bits would be rounded up.
    if (floor >= std::ldexp(1.0, sizeof(T) * 8 - 1)) return std::numeric_limits<T>::max();
    if (floor < static_cast<double>(std::numeric_limits<T>::min()))
      return std::numeric_limits<T>::min();
    return static_cast<T>(floor);
  }
}

struct Step {
  int64_t count;
  float threshold;
};

template <typename T>
void binarize(const Step& step, const T* x, T* y, int64_t begin, int64_t end) {
  // Below every integer: nothing is kept from being above it, not even the smallest.
  const bool all = std::is_integral_v<T> && static_cast<double>(step.threshold) <
                                                static_cast<double>(std::numeric_limits<T>::min());
  // No integer is above NaN, as no float is.
  const bool none = std::is_integral_v<T> && std::isnan(step.threshold);
  const T limit = none ? std::numeric_limits<T>::max() : bound<T>(step.threshold);
  for (int64_t i = begin; i < end; ++i) y[i] = static_cast<T>(all || x[i] > limit);
}

float threshold(const InferContext& context) {
  return context.attributes().number("threshold", 0.0f);
}

void reference(const ReferenceContext& context) {
  const Step step{context.input(0).shape.elements(), threshold(context)};
  visit_features(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    binarize(step, context.in<T>(0), context.out<T>(0), 0, step.count);
  });
}

template <typename T>
void run(const Step& step, const StepArgs& args) {
  for_each_range(*args.workers, step.count, kStreamGrain, [&](int64_t begin, int64_t end) {
    binarize(step, static_cast<const T*>(args.inputs[0]), static_cast<T*>(args.outputs[0]), begin,
             end);
  });
}

void plan(PlanContext& context) {
  const Step step{context.input(0).shape.elements(), threshold(context)};
  visit_features(context.input(0).dtype,
                 [&](auto zero) { context.emit(run<decltype(zero)>, step); });
}

SANDERLING_OPERATOR(binarizer)({.name = "ai.onnx.ml.Binarizer",
                                .since_opset = 1,
                                .infer = infer,
                                .reference = reference,
                                .plan = plan,
                                .elementwise = true});

}  // namespace
}  // namespace sanderling
