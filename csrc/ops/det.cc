#include <cmath>

#include "ops/axis_lanes.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  const Shape& shape = context.input(0).shape;
  const int64_t rank = shape.rank();
  if (rank < 2 || shape[rank - 1] != shape[rank - 2])
    context.error("input 0 has shape ", shape.to_string(), ", expected square matrices");
  context.set_output(0, context.input(0).dtype,
                     Shape({shape.dims().begin(), shape.dims().end() - 2}));
}

// Gaussian elimination with partial pivoting: the product of the pivots.
double determinant(std::vector<double> matrix, int64_t size) {
  const auto at = [&](int64_t row, int64_t column) -> double& {
    return matrix[static_cast<size_t>(row * size + column)];
  };
  double product = 1.0;
  for (int64_t k = 0; k < size; ++k) {
    int64_t pivot = k;
    for (int64_t row = k + 1; row < size; ++row)
      if (std::abs(at(row, k)) > std::abs(at(pivot, k))) pivot = row;
    if (pivot != k) {
      for (int64_t column = k; column < size; ++column) std::swap(at(k, column), at(pivot, column));
      product = -product;
    }
    product *= at(k, k);
    if (at(k, k) == 0.0) return 0.0;
    for (int64_t row = k + 1; row < size; ++row) {
      const double factor = at(row, k) / at(k, k);
      for (int64_t column = k; column < size; ++column) at(row, column) -= factor * at(k, column);
    }
  }
  return product;
}

void reference(const ReferenceContext& context) {
  const Shape& shape = context.input(0).shape;
  const int64_t size = shape[shape.rank() - 1];
  visit_float(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < context.output(0).shape.elements(); ++i) {
      const T* x = context.in<T>(0) + i * size * size;
      context.out<T>(0)[i] =
          static_cast<T>(determinant(std::vector<double>(x, x + size * size), size));
    }
  });
}

SANDERLING_OPERATOR(det)(
    {.name = "Det", .since_opset = 11, .infer = infer, .reference = reference});

}  // namespace
}  // namespace sanderling
