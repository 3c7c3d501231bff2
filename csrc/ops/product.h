// Matrix products, what Gemm and MatMul share: y[i] = clamp(alpha * a[i] * b[i] + beta * c)
// for one or many matrices i.
#pragma once

#include <vector>

#include "graph/operator.h"
#include "ops/activation_range.h"

namespace sanderling {

// Input 0 holds matrices a of [rows, depth], input 1 matrices b of [depth, columns]; output 0 holds
// the results in a row.
struct Product {
  int64_t rows, columns, depth;
  bool a_transposed = false, b_transposed = false;  // stored as [depth, rows], [columns, depth]
  std::vector<int64_t> a{}, b{};  // where the operands of each product start, in elements
  float alpha = 1.0f, beta = 1.0f;
  // Input 2, the same for each product; a stride of 0 repeats.
  bool has_c = false;
  int64_t c_row_stride = 0, c_column_stride = 0;
  ActivationRange range{};
};

// Floats and the integers of 32 and 64 bits, which wrap around as NumPy's do.
void require_product_dtype(const InferContext& context);
void reference_product(const ReferenceContext& context, const Product& product);
// float32 only; otherwise the reference runs.
void plan_product(PlanContext& context, const Product& product);

}  // namespace sanderling
