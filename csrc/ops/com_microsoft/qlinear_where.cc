#include "ops/code_operands.h"

namespace sanderling {
namespace {

// The condition, then x, its scale and zero point, y and its, and those of the output.
constexpr size_t kX = 1, kY = 4, kScale = 7, kZero = 8;

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kBool});
  require_codes(context, kX);
  require_same_dtype(context, kX, kY);
  const DType dtype = context.input(kX).dtype;
  for (size_t scale : {kX + 1, kY + 1, kScale})
    require_parameters(context, dtype, scale, scale + 1);
  const Shape sides = broadcast_shapes(context, context.input(kX).shape, context.input(kY).shape);
  context.set_output(0, dtype, broadcast_shapes(context, context.input(0).shape, sides));
}

void reference(const ReferenceContext& context) {
  const CodeParameters z = code_parameters(context, kScale, kZero);
  const CodeParameters x = code_parameters(context, kX + 1, kX + 2);
  const CodeParameters y = code_parameters(context, kY + 1, kY + 2);
  const Shape& shape = context.output(0).shape;
  const auto offset = [&](size_t input, int64_t i) {
    return broadcast_offset(shape, context.input(input).shape, i);
  };
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const size_t side = context.in<bool>(0)[offset(0, i)] ? kX : kY;
    const CodeParameters& from = side == kX ? x : y;
    const int32_t code = CodeInput(context, side)[offset(side, i)];
    if (from.scale == z.scale && from.zero_point == z.zero_point)  // the code, not its rounding
      put_code(context, i, static_cast<float>(code - z.zero_point), z.zero_point);
    else
      put_real(context, i, from.real(code), z);
  }
}

SANDERLING_OPERATOR(qlinear_where)({.name = "com.microsoft.QLinearWhere",
                                    .since_opset = 1,
                                    .min_inputs = 9,
                                    .max_inputs = 9,
                                    .infer = infer,
                                    .reference = reference});

}  // namespace
}  // namespace sanderling
