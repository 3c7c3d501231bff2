// Stacks of matrices as NumPy's matmul multiplies them: what MatMul and ONNX Runtime's FusedMatMul
// share.
#pragma once

#include "ops/node_checks.h"
#include "ops/product.h"

namespace sanderling {

// Both operands as stacks of matrices, as NumPy's matmul: a vector is a row on the left and a
// column on the right, and the axis that it lacks is not in the result.
struct MatrixOperands {
  Shape a_stack, b_stack, stack;  // the axes before the matrices; the last is the result's
  Product product;
  Shape result;
};

inline Shape leading_axes(const Shape& shape) {
  const int64_t axes = std::max<int64_t>(shape.rank() - 2, 0);
  return Shape({shape.dims().begin(), shape.dims().begin() + axes});
}

// Where each matrix of the result's stack starts in an operand whose own stack is repeated to it.
inline std::vector<int64_t> matrix_starts(const Shape& own, const Shape& stack,
                                          int64_t matrix_elements) {
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

// The transpositions are of the last two axes, before a vector becomes a matrix.
inline MatrixOperands matrix_operands(const InferContext& context, bool a_transposed = false,
                                      bool b_transposed = false) {
  const Shape& a = context.input(0).shape;
  const Shape& b = context.input(1).shape;
  if (a.rank() == 0 || b.rank() == 0)
    context.error("a has shape ", a.to_string(), " and b ", b.to_string(),
                  ", expected vectors or matrices");
  const bool a_turned = a_transposed && a.rank() > 1, b_turned = b_transposed && b.rank() > 1;
  const int64_t a_depth = a[a.rank() - (a_turned ? 2 : 1)];
  const int64_t b_depth = b.rank() > 1 ? b[b.rank() - (b_turned ? 1 : 2)] : b[0];
  if (a_depth != b_depth)
    context.error("a has shape ", a.to_string(), " and b ", b.to_string(), ": ", a_depth,
                  " columns do not meet ", b_depth, " rows");
  MatrixOperands operands{.a_stack = leading_axes(a),
                          .b_stack = leading_axes(b),
                          .stack = {},
                          .product = {},
                          .result = {}};
  operands.stack = checked_shape(
      context, [&] { return broadcast(operands.a_stack, operands.b_stack, "batch axes"); });
  operands.product = {.rows = a.rank() > 1 ? a[a.rank() - (a_turned ? 1 : 2)] : 1,
                      .columns = b.rank() > 1 ? b[b.rank() - (b_turned ? 2 : 1)] : 1,
                      .depth = a_depth,
                      .a_transposed = a_turned,
                      .b_transposed = b_turned};
  operands.product.range = activation_range(context);
  std::vector<int64_t> dims = operands.stack.dims();
  if (a.rank() > 1) dims.push_back(operands.product.rows);
  if (b.rank() > 1) dims.push_back(operands.product.columns);
  operands.result = checked_shape(context, std::move(dims));
  return operands;
}

inline Product matrix_product(const InferContext& context, bool a_transposed = false,
                              bool b_transposed = false) {
  MatrixOperands operands = matrix_operands(context, a_transposed, b_transposed);
  Product& product = operands.product;
  product.a = matrix_starts(operands.a_stack, operands.stack, product.rows * product.depth);
  product.b = matrix_starts(operands.b_stack, operands.stack, product.depth * product.columns);
  return std::move(product);
}

}  // namespace sanderling
