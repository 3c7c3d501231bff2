// What functions of one tensor of codes share: X, its scale and zero point, those of Y. Where they
// are constant, the lowering pass makes a table of the function.
#pragma once

#include "ops/code_operands.h"

namespace sanderling {

// X_zero_point may be left out though inputs follow it, so that the registry demands only the two
// before it.
constexpr size_t kXScale = 1, kXZero = 2, kYScale = 3, kYZero = 4;

inline void check_qlinear_unary(const InferContext& context) {
  require_codes(context, 0);
  const DType dtype = context.input(0).dtype;
  require_parameters(context, dtype, kXScale, kXZero);
  require_parameters(context, dtype, kYScale, kYZero);
}

inline void infer_qlinear_unary(InferContext& context) {
  check_qlinear_unary(context);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

// function(double) of each real number, rounded once to float32.
template <typename Function>
void reference_qlinear_unary(const ReferenceContext& context, const Function& function) {
  const CodeParameters x = code_parameters(context, kXScale, kXZero);
  const CodeParameters y = code_parameters(context, kYScale, kYZero);
  const CodeInput codes(context, 0);
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
    put_real(context, i, static_cast<float>(function(static_cast<double>(x.real(codes[i])))), y);
}

}  // namespace sanderling
