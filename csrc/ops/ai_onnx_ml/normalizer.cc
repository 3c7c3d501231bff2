#include <algorithm>
#include <cmath>

#include "ops/ai_onnx_ml/rows.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

enum class Norm { kMax, kL1, kL2 };

Norm norm(const InferContext& context) {
  return static_cast<Norm>(choice(context, "norm", "MAX", {"MAX", "L1", "L2"}));
}

// What a row is divided by. MAX is the largest element with its sign, as ONNX defines it.
template <typename T>
double divisor(Norm norm, const T* x, int64_t features) {
  double result = norm == Norm::kMax ? static_cast<double>(x[0]) : 0.0;
  for (int64_t f = 0; f < features; ++f) {
    const auto value = static_cast<double>(x[f]);
    if (norm == Norm::kMax) result = std::max(result, value);
    if (norm == Norm::kL1) result += std::abs(value);
    if (norm == Norm::kL2) result += value * value;
  }
  return norm == Norm::kL2 ? std::sqrt(result) : result;
}

template <typename T>
void normalize(Norm norm, const T* x, float* y, int64_t rows, int64_t features) {
  if (features == 0) return;
  for (int64_t row = 0; row < rows; ++row, x += features, y += features) {
    const double by = divisor(norm, x, features);
    const double safe = by == 0.0 ? 1.0 : by;
    for (int64_t f = 0; f < features; ++f)
      y[f] = static_cast<float>(static_cast<double>(x[f]) / safe);
  }
}

void infer(InferContext& context) {
  rows_of(context);
  norm(context);
  context.set_output(0, DType::kFloat32, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  const Rows rows = rows_of(context);
  visit_features(context.input(0).dtype, [&](auto zero) {
    normalize(norm(context), context.in<decltype(zero)>(0), context.out<float>(0), rows.count,
              rows.features);
  });
}

struct Step {
  Norm norm;
  Rows rows;
  int64_t grain;
};

template <typename T>
void run(const Step& step, const StepArgs& args) {
  const int64_t features = step.rows.features;
  for_each_range(*args.workers, step.rows.count, step.grain, [&](int64_t begin, int64_t end) {
    normalize(step.norm, static_cast<const T*>(args.inputs[0]) + begin * features,
              static_cast<float*>(args.outputs[0]) + begin * features, end - begin, features);
  });
}

void plan(PlanContext& context) {
  const Rows rows = rows_of(context);
  const Step step{norm(context), rows, std::max<int64_t>(1, kStreamGrain / rows.features)};
  visit_features(context.input(0).dtype,
                 [&](auto zero) { context.emit(run<decltype(zero)>, step); });
}

SANDERLING_OPERATOR(normalizer)({.name = "ai.onnx.ml.Normalizer",
                                 .since_opset = 1,
                                 .infer = infer,
                                 .reference = reference,
                                 .plan = plan});

}  // namespace
}  // namespace sanderling
