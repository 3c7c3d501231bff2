// Probabilities of classes from those of each pair of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace sanderling {

// pairs[i * classes + j] is the probability of class i against j. Writes classes probabilities;
// `q` has room for classes * (classes + 1) values. The second method of Wu, Lin and Weng,
// "Probability estimates for multi-class classification by pairwise coupling" (2004), with the
// bounds on steps and error that LIBSVM, scikit-learn and ONNX Runtime have: where it stops shows
// in the third digit.
inline void pairwise_probabilities(int64_t classes, const double* pairs, double* q, double* p) {
  constexpr int kMostSteps = 100;
  double* const qp = q + classes * classes;
  const double enough = 0.005 / static_cast<double>(classes);
  for (int64_t i = 0; i < classes; ++i) {
    p[i] = 1.0 / static_cast<double>(classes);
    q[i * classes + i] = 0.0;
    for (int64_t j = 0; j < classes; ++j) {
      if (j == i) continue;
      const double r = pairs[j * classes + i];
      q[i * classes + i] += r * r;
      q[i * classes + j] = -r * pairs[i * classes + j];
    }
  }
  for (int step = 0; step < kMostSteps; ++step) {
    double pqp = 0.0;
    for (int64_t i = 0; i < classes; ++i) {
      qp[i] = 0.0;
      for (int64_t j = 0; j < classes; ++j) qp[i] += q[i * classes + j] * p[j];
      pqp += p[i] * qp[i];
    }
    double error = 0.0;
    for (int64_t i = 0; i < classes; ++i) error = std::max(error, std::abs(qp[i] - pqp));
    if (error < enough) return;
    for (int64_t i = 0; i < classes; ++i) {
      const double by = (pqp - qp[i]) / q[i * classes + i];
      p[i] += by;
      pqp = (pqp + by * (by * q[i * classes + i] + 2 * qp[i])) / (1 + by) / (1 + by);
      for (int64_t j = 0; j < classes; ++j) {
        qp[j] = (qp[j] + by * q[i * classes + j]) / (1 + by);
        p[j] /= 1 + by;
      }
    }
  }
}

}  // namespace sanderling
