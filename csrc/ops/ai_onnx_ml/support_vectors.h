// What SVMClassifier and SVMRegressor share: support vectors and a kernel. Without support vectors
// the coefficients are those of a linear model.
#pragma once

#include <cmath>

#include "ops/ai_onnx_ml/linear.h"

namespace sanderling {

enum class SvmKernel { kLinear, kPoly, kRbf, kSigmoid };

struct SupportVectors {
  SvmKernel kernel;
  double gamma = 0.0, coef0 = 0.0, degree = 0.0;
  int64_t count = 0, features = 0;
  std::vector<float> vectors;  // [count, features]

  template <typename T>
  double similarity(const T* x, int64_t vector) const {
    const float* const v = vectors.data() + vector * features;
    switch (kernel) {
      case SvmKernel::kLinear:
        return dot(x, v, features);
      case SvmKernel::kPoly:
        return std::pow(gamma * dot(x, v, features) + coef0, degree);
      case SvmKernel::kSigmoid:
        return std::tanh(gamma * dot(x, v, features) + coef0);
      case SvmKernel::kRbf:
        break;
    }
    return std::exp(-gamma * squared_distance(x, v));
  }

 private:
  // In eight sums, as dot is.
  template <typename T>
  double squared_distance(const T* x, const float* v) const {
    constexpr int64_t kLanes = 8;
    double sums[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= features; i += kLanes)
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const double d = static_cast<double>(x[i + lane]) - static_cast<double>(v[i + lane]);
        sums[lane] += d * d;
      }
    for (; i < features; ++i) {
      const double d = static_cast<double>(x[i]) - static_cast<double>(v[i]);
      sums[0] += d * d;
    }
    double sum = 0.0;
    for (double each : sums) sum += each;
    return sum;
  }
};

// `count` support vectors, at least one, of as many features as input 0 has.
inline SupportVectors support_vectors(const InferContext& context, int64_t count) {
  SupportVectors made;
  made.kernel = static_cast<SvmKernel>(
      choice(context, "kernel_type", "LINEAR", {"LINEAR", "POLY", "RBF", "SIGMOID"}));
  made.count = count;
  made.features = rows_of(context).features;
  made.vectors = context.attributes().numbers("support_vectors", {});
  const auto values = static_cast<int64_t>(made.vectors.size());
  // Not count * features, which could overflow.
  if (values % count != 0 || values / count != made.features)
    context.error("support_vectors has ", values, " values for ", count, " vectors of ",
                  made.features, " features");
  const std::vector<float> parameters = context.attributes().numbers("kernel_params", {});
  if (parameters.size() == 3) {
    made.gamma = static_cast<double>(parameters[0]);
    made.coef0 = static_cast<double>(parameters[1]);
    made.degree = static_cast<double>(parameters[2]);
  } else if (!parameters.empty() || made.kernel != SvmKernel::kLinear) {
    context.error("kernel_params has ", parameters.size(),
                  " values, expected gamma, coef0 and degree");
  }
  return made;
}

// Rows that make one task.
inline int64_t svm_grain(int64_t vectors, int64_t features) {
  return std::max<int64_t>(1, kStreamGrain / (std::max<int64_t>(1, vectors) * (features + 16)));
}

}  // namespace sanderling
