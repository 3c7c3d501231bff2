#include "ops/node_checks.h"
#include "ops/product.h"

namespace sanderling {
namespace {

// The stride of c along an axis of the output, as NumPy broadcasts it from the right; `from_end` is
// 1 for columns, 2 for rows.
int64_t c_stride(const InferContext& context, int64_t from_end, int64_t extent, int64_t stride) {
  const Shape& c = context.input(2).shape;
  if (c.rank() > 2) context.error("c has shape ", c.to_string(), ", expected rank 2 or less");
  const int64_t own = from_end <= c.rank() ? c[c.rank() - from_end] : 1;
  if (own != 1 && own != extent)
    context.error("c has shape ", c.to_string(), ", which does not broadcast to the product's ",
                  extent, from_end == 1 ? " columns" : " rows");
  return own == 1 ? 0 : stride;
}

Product product_of(const InferContext& context) {
  const Shape& a = context.input(0).shape;
  const Shape& b = context.input(1).shape;
  if (a.rank() != 2 || b.rank() != 2)
    context.error("a has shape ", a.to_string(), " and b ", b.to_string(),
                  ", expected matrices. Flatten them first");
  const int64_t a_transposed = context.attributes().integer("transA", 0) != 0 ? 1 : 0;
  const int64_t b_transposed = context.attributes().integer("transB", 0) != 0 ? 1 : 0;
  Product product{
      .rows = a[a_transposed], .columns = b[1 - b_transposed], .depth = a[1 - a_transposed]};
  if (b[b_transposed] != product.depth)
    context.error("a has shape ", a.to_string(), " and b ", b.to_string(), " (transA ",
                  a_transposed, ", transB ", b_transposed, "): ", product.depth,
                  " columns do not meet ", b[b_transposed], " rows");
  product.a_transposed = a_transposed != 0;
  product.b_transposed = b_transposed != 0;
  product.a = product.b = {0};
  product.alpha = context.attributes().number("alpha", 1.0f);
  product.beta = context.attributes().number("beta", 1.0f);
  product.range = activation_range(context);
  product.has_c = context.has_input(2);
  if (product.has_c) {
    product.c_column_stride = c_stride(context, 1, product.columns, 1);
    product.c_row_stride =
        c_stride(context, 2, product.rows,
                 context.input(2).shape.elements() / std::max<int64_t>(1, product.rows));
  }
  return product;
}

void infer(InferContext& context) {
  require_product_dtype(context);
  require_same_dtype(context, 0, 1);
  if (context.has_input(2)) require_same_dtype(context, 0, 2);
  const Product product = product_of(context);
  context.set_output(0, context.input(0).dtype,
                     checked_shape(context, {product.rows, product.columns}));
}

void reference(const ReferenceContext& context) { reference_product(context, product_of(context)); }

void plan(PlanContext& context) { plan_product(context, product_of(context)); }

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * product_of(context).depth;
}

SANDERLING_OPERATOR(gemm)({.name = "Gemm",
                           .since_opset = 7,
                           .min_inputs = 2,
                           .max_inputs = 3,
                           .infer = infer,
                           .reference = reference,
                           .plan = plan,
                           .macs = macs});

}  // namespace
}  // namespace sanderling
