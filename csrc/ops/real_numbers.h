// Inputs and outputs of reference functions as doubles, where inputs of one node may be float32 and
// float64 at once.
#pragma once

#include "graph/operator.h"

namespace sanderling {

// An input, float32 or float64; zeros where it is left out.
class RealNumbers {
 public:
  RealNumbers(const ReferenceContext& context, size_t input) {
    if (!context.has_input(input)) return;
    if (context.input(input).dtype == DType::kFloat32)
      floats_ = context.in<float>(input);
    else
      doubles_ = context.in<double>(input);
  }
  double operator[](int64_t i) const {
    return floats_ ? static_cast<double>(floats_[i]) : doubles_ ? doubles_[i] : 0.0;
  }

 private:
  const float* floats_ = nullptr;
  const double* doubles_ = nullptr;
};

// Element i of an output, float32 or float64; nothing where it is not wanted.
inline void write_real(const ReferenceContext& context, size_t output, int64_t i, double value) {
  if (!context.has_output(output)) return;
  if (context.output(output).dtype == DType::kFloat32)
    context.out<float>(output)[i] = static_cast<float>(value);
  else
    context.out<double>(output)[i] = value;
}

}  // namespace sanderling
