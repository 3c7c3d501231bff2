#include "ops/matrix_stacks.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_product_dtype(context);
  require_same_dtype(context, 0, 1);
  context.set_output(0, context.input(0).dtype, matrix_operands(context).result);
}

void reference(const ReferenceContext& context) {
  reference_product(context, matrix_product(context));
}

void plan(PlanContext& context) { plan_product(context, matrix_product(context)); }

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * matrix_operands(context).product.depth;
}

SANDERLING_OPERATOR(mat_mul)({.name = "MatMul",
                              .since_opset = 1,
                              .min_inputs = 2,
                              .max_inputs = 2,
                              .infer = infer,
                              .reference = reference,
                              .plan = plan,
                              .macs = macs});

}  // namespace
}  // namespace sanderling
