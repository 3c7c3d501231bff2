// The sum that fuse_residuals makes part of a convolution: with the attribute `residual` input 3,
// as NumPy broadcasts it, is added to the product, and `low` and `high` clamp the sum.
#pragma once

#include <vector>

#include "ops/broadcast.h"
#include "ops/convolution.h"

namespace sanderling {

constexpr size_t kResidual = 3;  // input

inline bool has_residual(const InferContext& context) {
  return context.attributes().integer("residual", 0) != 0;
}

// Brings output 0 from the product's shape to that of the sum.
inline void infer_residual(InferContext& context) {
  if (context.has_input(kResidual) != has_residual(context))
    context.error("has ", context.inputs(), " inputs, expected 2 or 3");
  if (!has_residual(context)) return;
  const TensorType product = context.output_type(0);
  if (context.input(kResidual).dtype != product.dtype)
    context.error("input 3 is ", name_of(context.input(kResidual).dtype), ", the product ",
                  name_of(product.dtype));
  context.set_output(0, product.dtype,
                     broadcast_shapes(context, product.shape, context.input(kResidual).shape));
}

// Whether product, residual and sum have one shape, or there is no residual.
inline bool is_plain_sum(const InferContext& context) {
  const Shape& y = context.output_type(0).shape;
  return !has_residual(context) ||
         (context.input(kResidual).shape == y &&
          image_shape(context, context.input(1).shape[0], convolution_window(context)) == y);
}

// y = sum(product, residual) for each element of output 0, from a product of this shape.
template <typename T, typename Sum>
void reference_residual(const ReferenceContext& context, const std::vector<T>& product,
                        const Shape& shape, const Sum& sum) {
  const Shape& y = context.output(0).shape;
  const Shape& residual = context.input(kResidual).shape;
  for (int64_t i = 0; i < y.elements(); ++i)
    context.out<T>(0)[i] = sum(product[static_cast<size_t>(broadcast_offset(y, shape, i))],
                               context.in<T>(kResidual)[broadcast_offset(y, residual, i)]);
}

}  // namespace sanderling
