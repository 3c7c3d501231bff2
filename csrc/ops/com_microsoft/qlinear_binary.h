// What QLinearAdd and QLinearMul share. Where all scales are constant, the lowering pass makes a
// QAdd or QMul of them.
#pragma once

#include "ops/code_operands.h"

namespace sanderling {

constexpr size_t kBInput = 3, kYScaleInput = 6,
                 kYZeroInput = 7;  // each followed by what is its own

inline void infer_qlinear_binary(InferContext& context) {
  require_codes(context, 0);
  require_same_dtype(context, 0, kBInput);
  const DType dtype = context.input(0).dtype;
  for (size_t scale : {size_t{1}, kBInput + 1, kYScaleInput})
    require_parameters(context, dtype, scale, scale + 1);
  context.set_output(
      0, dtype, broadcast_shapes(context, context.input(0).shape, context.input(kBInput).shape));
}

// Calls steps(a - a_zero, b - b_zero, a's, b's and y's parameters) for each pair; it gives the
// number of steps of the output.
template <typename Steps>
void reference_qlinear_binary(const ReferenceContext& context, const Steps& steps) {
  const CodeParameters a = code_parameters(context, 1, 2);
  const CodeParameters b = code_parameters(context, kBInput + 1, kBInput + 2);
  const CodeParameters y = code_parameters(context, kYScaleInput, kYZeroInput);
  const CodeInput a_codes(context, 0), b_codes(context, kBInput);
  const Shape& shape = context.output(0).shape;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const int32_t a_code = a_codes[broadcast_offset(shape, context.input(0).shape, i)];
    const int32_t b_code = b_codes[broadcast_offset(shape, context.input(kBInput).shape, i)];
    put_code(context, i, steps(a_code - a.zero_point, b_code - b.zero_point, a, b, y),
             y.zero_point);
  }
}

}  // namespace sanderling
