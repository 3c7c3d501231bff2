// x times the normal distribution function of x, and its approximations, as references have them.
// Their kernels are in kernels/cpu/functions.h.
#pragma once

#include <cmath>
#include <numbers>

#include "ops/float_functions.h"

namespace sanderling {

constexpr double kSqrtHalf = std::numbers::sqrt2 / 2;

// 0.5 x (1 + erf(x / sqrt(2))), without cancellation where erf is near -1.
inline double gelu(double x) { return 0.5 * x * std::erfc(-x * kSqrtHalf); }

// 0.5 x (1 + tanh(u)) = x sigmoid(2 u).
constexpr double kTwoSqrtTwoOverPi = 1.5957691216057308;
inline double tanh_gelu(double x) {
  return x / (1.0 + std::exp(-kTwoSqrtTwoOverPi * (x + 0.044715 * x * x * x)));
}

// x sigmoid(alpha x).
inline double swish(double x, double alpha) { return x / (1.0 + std::exp(-alpha * x)); }
inline float swish(float x, float alpha) { return x * sigmoid_float(alpha * x); }

}  // namespace sanderling
