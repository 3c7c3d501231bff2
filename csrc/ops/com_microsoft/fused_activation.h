// The activation that FusedConv and FusedGemm name, with up to two numbers.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "graph/operator.h"

namespace sanderling {

struct FusedActivation {
  double (*function)(double x, double a, double b);
  double a = 0.0, b = 0.0;

  double operator()(double x) const { return function(x, a, b); }
};

struct ActivationKind {
  const char* name;
  double (*function)(double x, double a, double b);
  size_t numbers;  // that it takes
  double a, b;     // where they are left out
};

// What ONNX Runtime fuses, with ONNX's defaults.
inline constexpr ActivationKind kActivationKinds[] = {
    {"", [](double x, double, double) { return x; }, 0, 0, 0},
    {"Identity", [](double x, double, double) { return x; }, 0, 0, 0},
    {"Relu", [](double x, double, double) { return x < 0 ? 0.0 : x; }, 0, 0, 0},
    {"LeakyRelu", [](double x, double a, double) { return x < 0 ? a * x : x; }, 1, 0.01f, 0},
    {"ThresholdedRelu", [](double x, double a, double) { return x > a ? x : 0.0; }, 1, 1, 0},
    {"Elu", [](double x, double a, double) { return x < 0 ? a * std::expm1(x) : x; }, 1, 1, 0},
    {"Sigmoid", [](double x, double, double) { return 1.0 / (1.0 + std::exp(-x)); }, 0, 0, 0},
    {"HardSigmoid",
     [](double x, double a, double b) {
       const double y = a * x + b;
       return y < 0 ? 0.0 : y > 1 ? 1.0 : y;
     },
     2, 0.2f, 0.5f},
    {"HardSwish",
     [](double x, double, double) {
       const double gate = x / 6 + 0.5;
       return x * (gate < 0 ? 0.0 : gate > 1 ? 1.0 : gate);
     },
     0, 0, 0},
    {"Tanh", [](double x, double, double) { return std::tanh(x); }, 0, 0, 0},
    {"Softplus",
     [](double x, double, double) {
       return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
     },
     0, 0, 0},
    {"Softsign", [](double x, double, double) { return x / (1 + std::fabs(x)); }, 0, 0, 0},
    {"Clip", [](double x, double a, double b) { return x < a   ? a
                                                       : x > b ? b
                                                               : x; }, 2,
     -3.4028234663852886e38, 3.4028234663852886e38},
};

// `numbers` may be fewer than the activation takes.
inline FusedActivation fused_activation(const InferContext& context,
                                        const std::vector<float>& numbers) {
  const std::string name = context.attributes().text("activation", "");
  for (const ActivationKind& kind : kActivationKinds) {
    if (name != kind.name) continue;
    return {kind.function, numbers.empty() ? kind.a : static_cast<double>(numbers[0]),
            numbers.size() < 2 ? kind.b : static_cast<double>(numbers[1])};
  }
  context.unsupported("the native engine has no fused activation '", name,
                      "'. Export the model without fusion");
}

}  // namespace sanderling
