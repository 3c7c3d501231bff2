#include "ops/norm_pooling.h"

#include <cmath>

#include "ops/pooling.h"
#include "ops/spatial_attributes.h"

namespace sanderling {
namespace {

template <typename T>
void norm(const ReferenceContext& context) {
  const Window window = pool_window(context);
  const auto p = static_cast<double>(context.attributes().integer("p", 2));
  const int64_t planes = context.input(0).shape[0] * context.input(0).shape[1];
  for (int64_t plane = 0; plane < planes; ++plane) {
    const T* x = context.in<T>(0) + plane * window.inputs();
    T* y = context.out<T>(0) + plane * window.outputs();
    for (int64_t at = 0; at < window.outputs(); ++at) {
      double sum = 0.0;
      for_each_tap(window.axes, window.position(at).data(), [&](int64_t /*tap*/, int64_t pixel) {
        sum += std::pow(std::abs(static_cast<double>(x[pixel])), p);
      });
      y[at] = static_cast<T>(std::pow(sum, 1.0 / p));
    }
  }
}

}  // namespace

void infer_norm_pool(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  bounded_integer(context, "p", 2, 1, kMaxSpatialNumber);
  infer_pool(context, context.input(0).dtype);
}

void reference_norm_pool(const ReferenceContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    norm<float>(context);
  else
    norm<double>(context);
}

}  // namespace sanderling
