#include "ops/code_matrices.h"

namespace sanderling {
namespace {

constexpr ProductInputs kInputs{.a = 0, .b = 1, .a_zero = 4, .b_zero = 5};
constexpr RealProduct kReal{.a_scale = 2, .b_scale = 3, .bias = 6};

void infer(InferContext& context) {
  const CodeMatrices matrices = code_matrices(context, kInputs.a, kInputs.b);
  check_product(context, kInputs, matrices);
  require_parameters(context, context.input(0).dtype, kReal.a_scale, kInputs.a_zero);
  require_parameters(context, context.input(1).dtype, kReal.b_scale, kInputs.b_zero,
                     matrices.columns);
  if (context.has_input(kReal.bias)) {
    require_dtype(context, kReal.bias, {DType::kFloat32});
    if (context.input(kReal.bias).shape != Shape{matrices.columns})
      context.error("the bias has shape ", context.input(kReal.bias).shape.to_string(),
                    ", expected [", matrices.columns, "]");
  }
  context.set_output(0, DType::kFloat32, matrices.result);
}

// float(sum) * (a_scale * b_scale) + bias in float32, as the plan computes it.
void reference(const ReferenceContext& context) {
  const CodeMatrices matrices = code_matrices(context, kInputs.a, kInputs.b);
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i) {
    const int64_t column = i % matrices.columns;
    const float scale = code_parameters(context, kReal.a_scale, kLeftOut).scale *
                        code_parameters(context, kReal.b_scale, kLeftOut, column).scale;
    const auto sum = static_cast<float>(low_bits(code_product(context, kInputs, matrices, i)));
    const float product = sum * scale;
    context.out<float>(0)[i] =
        context.has_input(kReal.bias) ? product + context.in<float>(kReal.bias)[column] : product;
  }
}

void plan(PlanContext& context) { plan_product(context, kInputs, kReal); }

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * code_matrices(context, kInputs.a, kInputs.b).depth;
}

SANDERLING_OPERATOR(mat_mul_integer_to_float)({.name = "com.microsoft.MatMulIntegerToFloat",
                                               .since_opset = 1,
                                               .min_inputs = 4,
                                               .max_inputs = 7,
                                               .infer = infer,
                                               .reference = reference,
                                               .plan = plan,
                                               .macs = macs});

}  // namespace
}  // namespace sanderling
