// What LinearClassifier and LinearRegressor share: x * coefficients^T + intercepts.
#pragma once

#include "ops/ai_onnx_ml/rows.h"
#include "ops/parallel.h"

namespace sanderling {

struct LinearModel {
  int64_t features, targets;
  std::vector<float> coefficients;  // [targets, features]
  std::vector<float> intercepts;    // [targets]
};

// `targets` 0: as many as the coefficients have rows.
inline LinearModel linear_model(const InferContext& context, int64_t targets) {
  const int64_t features = rows_of(context).features;
  LinearModel model{features, targets, context.attributes().numbers("coefficients", {}),
                    context.attributes().numbers("intercepts", {})};
  const auto count = static_cast<int64_t>(model.coefficients.size());
  if (count == 0) context.error("has no coefficients");
  if (targets == 0 && features > 0) model.targets = count / features;
  // Not targets * features, which could overflow.
  if (model.targets < 1 || features < 1 || count % features != 0 ||
      count / features != model.targets)
    context.error("has ", count, " coefficients for ", features, " features",
                  targets ? cat(" and ", targets, " targets") : "",
                  "; it must have one per feature and target");
  if (model.intercepts.empty()) model.intercepts.assign(static_cast<size_t>(model.targets), 0.0f);
  if (static_cast<int64_t>(model.intercepts.size()) != model.targets)
    context.error("has ", model.intercepts.size(), " intercepts for ", model.targets, " targets");
  return model;
}

// In double, in eight interleaved sums that a compiler can vectorize: the same bits everywhere, and
// the same label as exact arithmetic but for ties.
template <typename T>
double dot(const T* x, const float* w, int64_t count) {
  constexpr int64_t kLanes = 8;
  double sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane)
      sums[lane] += static_cast<double>(x[i + lane]) * static_cast<double>(w[i + lane]);
  for (; i < count; ++i) sums[0] += static_cast<double>(x[i]) * static_cast<double>(w[i]);
  double sum = 0.0;
  for (double each : sums) sum += each;
  return sum;
}

template <typename T>
double linear_score(const LinearModel& model, const T* x, int64_t target) {
  return dot(x, model.coefficients.data() + target * model.features, model.features) +
         static_cast<double>(model.intercepts[static_cast<size_t>(target)]);
}

// Rows that make one task, at about 1 ns for two coefficients (kStreamGrain).
inline int64_t linear_grain(const LinearModel& model) {
  return std::max<int64_t>(1, 2 * kStreamGrain / static_cast<int64_t>(model.coefficients.size()));
}

inline int64_t linear_macs(const InferContext& context, const TensorType& /*output*/) {
  return rows_of(context).count *
         static_cast<int64_t>(context.attributes().numbers("coefficients", {}).size());
}

}  // namespace sanderling
