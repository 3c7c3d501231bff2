// Where b and all scales are constant, the lowering pass makes a QGemm of it.
#include "ops/code_matrices.h"

namespace sanderling {
namespace {

constexpr ProductInputs kInputs{.a = 0, .b = 3, .a_zero = 2, .b_zero = 5};
constexpr size_t kAScale = 1, kBScale = 4, kYScale = 6, kYZero = 7;

void infer(InferContext& context) {
  const CodeMatrices matrices = code_matrices(context, kInputs.a, kInputs.b);
  check_product(context, kInputs, matrices);
  for (size_t scale : {kAScale, kBScale, kYScale}) require_dtype(context, scale, {DType::kFloat32});
  check_along(context, kAScale, Along::kRows, matrices);
  check_along(context, kBScale, Along::kColumns, matrices);
  require_codes(context, kYZero);
  require_parameters(context, context.input(kYZero).dtype, kYScale, kYZero);
  context.set_output(0, context.input(kYZero).dtype, matrices.result);
}

void reference(const ReferenceContext& context) {
  const CodeMatrices matrices = code_matrices(context, kInputs.a, kInputs.b);
  const CodeParameters y = code_parameters(context, kYScale, kYZero);
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i) {
    const double a =
        context.in<float>(kAScale)[index_along(context, kAScale, Along::kRows, matrices, i)];
    const double b =
        context.in<float>(kBScale)[index_along(context, kBScale, Along::kColumns, matrices, i)];
    const auto scale = static_cast<float>(a * b / static_cast<double>(y.scale));
    const auto sum = static_cast<float>(code_product(context, kInputs, matrices, i));
    put_code(context, i, sum * scale, y.zero_point);
  }
}

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * code_matrices(context, kInputs.a, kInputs.b).depth;
}

SANDERLING_OPERATOR(qlinear_mat_mul)({.name = "QLinearMatMul",
                                      .since_opset = 10,
                                      .min_inputs = 8,
                                      .max_inputs = 8,
                                      .infer = infer,
                                      .reference = reference,
                                      .macs = macs});

}  // namespace
}  // namespace sanderling
