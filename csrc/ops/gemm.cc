#include "ops/gemm_extents.h"
#include "ops/product.h"

namespace sanderling {
namespace {

// The stride of c along an axis of the output; `from_end` is 1 for columns, 2 for rows.
int64_t c_stride(const Shape& c, int64_t from_end, int64_t stride) {
  return from_end > c.rank() || c[c.rank() - from_end] == 1 ? 0 : stride;
}

Product product_of(const InferContext& context) {
  const GemmExtents e = gemm_extents(context);
  Product product{.rows = e.rows, .columns = e.columns, .depth = e.depth};
  product.a_transposed = e.a_transposed;
  product.b_transposed = e.b_transposed;
  product.a = product.b = {0};
  product.alpha = context.attributes().number("alpha", 1.0f);
  product.beta = context.attributes().number("beta", 1.0f);
  product.range = activation_range(context);
  product.has_c = context.has_input(2);
  if (product.has_c) {
    check_gemm_c(context, 2, {product.rows, product.columns});
    const Shape& c = context.input(2).shape;
    product.c_column_stride = c_stride(c, 1, 1);
    product.c_row_stride = c_stride(c, 2, c.elements() / std::max<int64_t>(1, product.rows));
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
