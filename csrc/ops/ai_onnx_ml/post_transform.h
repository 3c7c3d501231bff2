// post_transform: what a model of ai.onnx.ml does to the scores of a row at last.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "ops/ai_onnx_ml/rows.h"

namespace sanderling {

// In the order of TreeEnsemble's numbers.
enum class PostTransform { kNone, kSoftmax, kLogistic, kSoftmaxZero, kProbit };

inline PostTransform post_transform(const InferContext& context) {
  return static_cast<PostTransform>(
      choice(context, "post_transform", "NONE",
             {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}));
}

inline double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// The quantile of the normal distribution, by Winitzki's inverse of erf: ONNX does not say how
// exact it is, and ONNX's reference and ONNX Runtime both have this one, 2e-3 from the exact value.
inline double probit(double p) {
  const double x = 2.0 * p - 1.0;
  constexpr double a = 0.147;
  const double log = std::log((1.0 - x) * (1.0 + x));
  const double v = 2.0 / (std::numbers::pi * a) + 0.5 * log;
  return std::copysign(std::numbers::sqrt2 * std::sqrt(std::sqrt(v * v - log / a) - v), x);
}

template <typename T>
void softmax_scores(T* scores, int64_t count) {
  const T largest = *std::max_element(scores, scores + count);
  double sum = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    scores[i] = std::exp(scores[i] - largest);
    sum += static_cast<double>(scores[i]);
  }
  for (int64_t i = 0; i < count; ++i)
    scores[i] = static_cast<T>(static_cast<double>(scores[i]) / sum);
}

// Softmax of the scores that are not 0; those that are stay so.
template <typename T>
void softmax_zero_scores(T* scores, int64_t count) {
  constexpr T kZero = static_cast<T>(1e-7);  // as ONNX's reference has it
  const T largest = *std::max_element(scores, scores + count);
  double sum = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    const bool zero = std::abs(scores[i]) <= kZero;
    scores[i] = zero ? scores[i] * std::exp(-largest) : std::exp(scores[i] - largest);
    sum += static_cast<double>(scores[i]);
  }
  for (int64_t i = 0; i < count; ++i)
    scores[i] =
        sum == 0.0 ? static_cast<T>(0.5) : static_cast<T>(static_cast<double>(scores[i]) / sum);
}

// The scores of one row, in place.
template <typename T>
void transform_scores(PostTransform transform, T* scores, int64_t count) {
  switch (transform) {
    case PostTransform::kNone:
      return;
    case PostTransform::kSoftmax:
      return softmax_scores(scores, count);
    case PostTransform::kSoftmaxZero:
      return softmax_zero_scores(scores, count);
    case PostTransform::kLogistic:
      for (int64_t i = 0; i < count; ++i)
        scores[i] = static_cast<T>(logistic(static_cast<double>(scores[i])));
      return;
    case PostTransform::kProbit:
      for (int64_t i = 0; i < count; ++i)
        scores[i] = static_cast<T>(probit(static_cast<double>(scores[i])));
      return;
  }
}

// The same for a regressor. One score is transformed by PROBIT alone: ONNX does not say so, but all
// that write such models have ONNX Runtime run them, and it leaves the score as it is.
template <typename T>
void transform_targets(PostTransform transform, T* scores, int64_t count) {
  if (count > 1 || transform == PostTransform::kProbit) transform_scores(transform, scores, count);
}

// The scores of two classes of which a model has the score s of the second only. ONNX does not say
// what the first's is; as ONNX Runtime has it, it is 1 - s where s is a probability, else -s,
// LOGISTIC is of s and -s in any case, and SOFTMAX does nothing. PROBIT is of s and 1 - s: ONNX
// Runtime leaves one of them undefined.
template <typename T>
void two_scores(PostTransform transform, T s, bool is_probability, T* scores) {
  const bool logistic = transform == PostTransform::kLogistic;
  const bool probit = transform == PostTransform::kProbit;
  scores[0] = probit || (is_probability && !logistic) ? 1 - s : -s;
  scores[1] = s;
  if (logistic || probit) transform_scores(transform, scores, 2);
}

}  // namespace sanderling
