// Products of matrices of 8-bit codes: what MatMulInteger and its relatives share.
#pragma once

#include "ops/code_operands.h"

namespace sanderling {

// Stacks of matrices as NumPy's matmul takes them: a vector is a row on the left and a column on
// the right.
struct CodeMatrices {
  Shape a_stack, b_stack, stack;  // the axes before the matrices
  int64_t rows, columns, depth;
  Shape result;

  Shape full() const {  // the result with both matrix axes
    std::vector<int64_t> dims = stack.dims();
    dims.insert(dims.end(), {rows, columns});
    return Shape(std::move(dims));
  }
  // The first element of matrix i of the result's stack.
  int64_t a_at(int64_t i) const { return broadcast_offset(stack, a_stack, i) * rows * depth; }
  int64_t b_at(int64_t i) const { return broadcast_offset(stack, b_stack, i) * depth * columns; }
};

CodeMatrices code_matrices(const InferContext& context, size_t a, size_t b);

// A scale or zero point of one value, of one per row of a ([M] or [..., M, 1]), or of one per
// column of b ([N] or [..., 1, N]); an input that is left out is fine.
enum class Along { kRows, kColumns };
void check_along(const InferContext& context, size_t input, Along along,
                 const CodeMatrices& matrices);
// Which of its values goes with element i of the result.
int64_t index_along(const InferContext& context, size_t input, Along along,
                    const CodeMatrices& matrices, int64_t i);

// Where the operands of a product stand among a node's inputs.
struct ProductInputs {
  size_t a, b, a_zero, b_zero;
};
void check_product(const InferContext& context, const ProductInputs& inputs,
                   const CodeMatrices& matrices);

// The exact sum behind element i of the result.
int64_t code_product(const ReferenceContext& context, const ProductInputs& inputs,
                     const CodeMatrices& matrices, int64_t i);

// Plans the product where b is one constant matrix and each zero point is one value, or b's one per
// column: int32 sums, or float32 float(sum) * (a_scale * b_scale) + bias.
struct RealProduct {
  size_t a_scale, b_scale, bias;
};
void plan_product(PlanContext& context, const ProductInputs& inputs,
                  const std::optional<RealProduct>& real);

}  // namespace sanderling
