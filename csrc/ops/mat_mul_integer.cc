#include "ops/code_matrices.h"

namespace sanderling {
namespace {

constexpr ProductInputs kInputs{.a = 0, .b = 1, .a_zero = 2, .b_zero = 3};

void infer(InferContext& context) {
  const CodeMatrices matrices = code_matrices(context, kInputs.a, kInputs.b);
  check_product(context, kInputs, matrices);
  context.set_output(0, DType::kInt32, matrices.result);
}

void reference(const ReferenceContext& context) {
  const CodeMatrices matrices = code_matrices(context, kInputs.a, kInputs.b);
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
    context.out<int32_t>(0)[i] = low_bits(code_product(context, kInputs, matrices, i));
}

void plan(PlanContext& context) { plan_product(context, kInputs, std::nullopt); }

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * code_matrices(context, kInputs.a, kInputs.b).depth;
}

SANDERLING_OPERATOR(mat_mul_integer)({.name = "MatMulInteger",
                                      .since_opset = 10,
                                      .min_inputs = 2,
                                      .max_inputs = 4,
                                      .infer = infer,
                                      .reference = reference,
                                      .plan = plan,
                                      .macs = macs});

}  // namespace
}  // namespace sanderling
