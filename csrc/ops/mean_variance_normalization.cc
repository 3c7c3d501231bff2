#include <cmath>

#include "ops/axes.h"
#include "ops/axis_lanes.h"
#include "ops/reduction.h"

namespace sanderling {
namespace {

// ONNX's, so that what does not vary becomes 0.
constexpr double kEpsilon = 1e-9;

std::vector<bool> normalised_axes(const InferContext& context) {
  const int64_t rank = context.input(0).shape.rank();
  std::vector<bool> reduced(static_cast<size_t>(rank), false);
  for (int64_t axis : checked_axes(context, context.attributes().integers("axes", {0, 2, 3}), rank))
    reduced[static_cast<size_t>(axis)] = true;
  return reduced;
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  normalised_axes(context);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  const Shape& shape = context.input(0).shape;
  if (shape.elements() == 0) return;
  const std::vector<bool> reduced = normalised_axes(context);
  int64_t groups = 1;
  for (int64_t axis = 0; axis < shape.rank(); ++axis)
    if (!reduced[static_cast<size_t>(axis)]) groups *= shape[axis];
  const double count = static_cast<double>(shape.elements() / groups);
  visit_float(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    std::vector<double> means(static_cast<size_t>(groups)), variances(means.size());
    const auto group = [&](int64_t i) {
      return static_cast<size_t>(reduced_index(shape, reduced, i));
    };
    const T* x = context.in<T>(0);
    for (int64_t i = 0; i < shape.elements(); ++i)
      means[group(i)] += static_cast<double>(x[i]) / count;
    for (int64_t i = 0; i < shape.elements(); ++i) {
      const double difference = static_cast<double>(x[i]) - means[group(i)];
      variances[group(i)] += difference * difference / count;
    }
    for (int64_t i = 0; i < shape.elements(); ++i)
      context.out<T>(0)[i] = static_cast<T>((static_cast<double>(x[i]) - means[group(i)]) /
                                            (std::sqrt(variances[group(i)]) + kEpsilon));
  });
}

SANDERLING_OPERATOR(mean_variance_normalization)({.name = "MeanVarianceNormalization",
                                                  .since_opset = 9,
                                                  .infer = infer,
                                                  .reference = reference});

}  // namespace
}  // namespace sanderling
