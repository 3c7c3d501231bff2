#include "ops/node_checks.h"
#include "ops/product.h"

namespace sanderling {
namespace {

// Both operands as stacks of matrices, as NumPy's matmul: a vector is a row on the left and a
// column on the right, and the axis that it lacks is not in the result.
struct Operands {
  Shape a_stack, b_stack, stack;  // the axes before the matrices; the last is the result's
  Product product;
  Shape result;
};

Shape leading(const Shape& shape) {
  const int64_t axes = std::max<int64_t>(shape.rank() - 2, 0);
  return Shape({shape.dims().begin(), shape.dims().begin() + axes});
}

// Where each matrix of the result's stack starts in an operand whose own stack is repeated to it.
std::vector<int64_t> starts(const Shape& own, const Shape& stack, int64_t matrix_elements) {
  std::vector<int64_t> result(static_cast<size_t>(stack.elements()), 0);
  for (int64_t i = 0; i < stack.elements(); ++i) {
    int64_t rest = i, stride = matrix_elements, at = 0;
    for (int64_t axis = 1; axis <= own.rank(); ++axis) {
      const int64_t index = rest % stack[stack.rank() - axis];
      rest /= stack[stack.rank() - axis];
      if (own[own.rank() - axis] != 1) at += index * stride;
      stride *= own[own.rank() - axis];
    }
    result[static_cast<size_t>(i)] = at;
  }
  return result;
}

Operands operands_of(const InferContext& context) {
  const Shape& a = context.input(0).shape;
  const Shape& b = context.input(1).shape;
  if (a.rank() == 0 || b.rank() == 0)
    context.error("a has shape ", a.to_string(), " and b ", b.to_string(),
                  ", expected vectors or matrices");
  const int64_t a_depth = a[a.rank() - 1], b_depth = b[std::max<int64_t>(b.rank() - 2, 0)];
  if (a_depth != b_depth)
    context.error("a has shape ", a.to_string(), " and b ", b.to_string(), ": ", a_depth,
                  " columns do not meet ", b_depth, " rows");
  Operands operands{
      .a_stack = leading(a), .b_stack = leading(b), .stack = {}, .product = {}, .result = {}};
  operands.stack = checked_shape(
      context, [&] { return broadcast(operands.a_stack, operands.b_stack, "batch axes"); });
  operands.product = {.rows = a.rank() > 1 ? a[a.rank() - 2] : 1,
                      .columns = b.rank() > 1 ? b[b.rank() - 1] : 1,
                      .depth = a_depth};
  operands.product.range = activation_range(context);
  std::vector<int64_t> dims = operands.stack.dims();
  if (a.rank() > 1) dims.push_back(operands.product.rows);
  if (b.rank() > 1) dims.push_back(operands.product.columns);
  operands.result = checked_shape(context, std::move(dims));
  return operands;
}

Product product_of(const InferContext& context) {
  Operands operands = operands_of(context);
  Product& product = operands.product;
  product.a = starts(operands.a_stack, operands.stack, product.rows * product.depth);
  product.b = starts(operands.b_stack, operands.stack, product.depth * product.columns);
  return std::move(product);
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, 1);
  context.set_output(0, context.input(0).dtype, operands_of(context).result);
}

void reference(const ReferenceContext& context) { reference_product(context, product_of(context)); }

void plan(PlanContext& context) { plan_product(context, product_of(context)); }

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * operands_of(context).product.depth;
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
