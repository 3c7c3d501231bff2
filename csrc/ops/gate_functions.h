// The activation functions of recurrent operators (LSTM, GRU, RNN), by name with their parameters.
#pragma once

#include <string>
#include <vector>

#include "graph/operator.h"
#include "kernels/table.h"

namespace sanderling {

struct GateFunction {
  enum class Kind : uint8_t {
    kSigmoid,
    kTanh,
    kRelu,
    kAffine,
    kLeakyRelu,
    kThresholdedRelu,
    kScaledTanh,
    kHardSigmoid,
    kElu,
    kSoftsign,
    kSoftplus,
  };
  Kind kind = Kind::kTanh;
  float alpha = 0.0f, beta = 0.0f;

  double operator()(double x) const;
  // The same for each of x, in place.
  void apply(const KernelTable& kernels, float* x, int64_t count) const;
};

// The attribute "activations", or the defaults repeated; `count` functions in all. The numbers of
// "activation_alpha" and "activation_beta" go to those functions that have such a parameter, in
// order; the others keep their defaults.
std::vector<GateFunction> gate_functions(const InferContext& context,
                                         std::vector<std::string> defaults, size_t count);

}  // namespace sanderling
