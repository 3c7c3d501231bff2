// The extents of Gemm and of what is made of it (com.microsoft FusedGemm, QGemm): a and b are
// matrices, each of which may come transposed.
#pragma once

#include "ops/node_checks.h"

namespace sanderling {

struct GemmExtents {
  int64_t rows, columns, depth;
  bool a_transposed, b_transposed;
  int64_t a_row, a_depth, b_column, b_depth;  // strides
};

inline GemmExtents gemm_extents(const InferContext& context, size_t b_input = 1) {
  const Shape& a = context.input(0).shape;
  const Shape& b = context.input(b_input).shape;
  if (a.rank() != 2 || b.rank() != 2)
    context.error("a has shape ", a.to_string(), " and b ", b.to_string(),
                  ", expected matrices. Flatten them first");
  const int64_t ta = context.attributes().integer("transA", 0) != 0 ? 1 : 0;
  const int64_t tb = context.attributes().integer("transB", 0) != 0 ? 1 : 0;
  if (a[1 - ta] != b[tb])
    context.error("a has shape ", a.to_string(), " and b ", b.to_string(), " (transA ", ta,
                  ", transB ", tb, "): ", a[1 - ta], " columns do not meet ", b[tb], " rows");
  return {.rows = a[ta],
          .columns = b[1 - tb],
          .depth = a[1 - ta],
          .a_transposed = ta != 0,
          .b_transposed = tb != 0,
          .a_row = ta ? 1 : a[1],
          .a_depth = ta ? a[1] : 1,
          .b_column = tb ? b[1] : 1,
          .b_depth = tb ? 1 : b[1]};
}

// c is broadcast to the product, as NumPy does it.
inline void check_gemm_c(const InferContext& context, size_t c_input, const Shape& product) {
  const Shape& c = context.input(c_input).shape;
  bool fits = c.rank() <= 2;
  for (int64_t i = 1; fits && i <= c.rank(); ++i)
    fits = c[c.rank() - i] == 1 || c[c.rank() - i] == product[2 - i];
  if (!fits)
    context.error("c has shape ", c.to_string(), ", which does not broadcast to the product's ",
                  product.to_string());
}

}  // namespace sanderling
