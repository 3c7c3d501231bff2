#include "ops/matrix_stacks.h"

namespace sanderling {
namespace {

bool flag(const InferContext& context, const char* name) {
  return context.attributes().integer(name, 0) != 0;
}

MatrixOperands operands_of(const InferContext& context) {
  return matrix_operands(context, flag(context, "transA"), flag(context, "transB"));
}

Product product_of(const InferContext& context) {
  Product product = matrix_product(context, flag(context, "transA"), flag(context, "transB"));
  product.alpha = context.attributes().number("alpha", 1.0f);
  return product;
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, 1);
  for (const char* name : {"transBatchA", "transBatchB"})
    if (flag(context, name))
      context.unsupported(name,
                          " is not 0, which the native engine lacks. Export the model without ",
                          "ONNX Runtime's extended optimizations");
  context.set_output(0, context.input(0).dtype, operands_of(context).result);
}

void reference(const ReferenceContext& context) { reference_product(context, product_of(context)); }

void plan(PlanContext& context) { plan_product(context, product_of(context)); }

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * operands_of(context).product.depth;
}

SANDERLING_OPERATOR(fused_mat_mul)({.name = "com.microsoft.FusedMatMul",
                                    .since_opset = 1,
                                    .min_inputs = 2,
                                    .max_inputs = 2,
                                    .infer = infer,
                                    .reference = reference,
                                    .plan = plan,
                                    .macs = macs});

}  // namespace
}  // namespace sanderling
