#include <cmath>
#include <limits>
#include <vector>

#include "ops/com_microsoft/qlinear_unary.h"

namespace sanderling {
namespace {

// The input as [outer, axis, inner], as Softmax of the opset that the attribute names sees it:
// before 13 the axis splits the input into rows.
struct Extents {
  int64_t outer, axis, inner;
};

Extents extents_of(const InferContext& context) {
  if (!context.attributes().has("opset")) context.error("has no attribute 'opset'");
  const bool one_axis = context.attributes().integer("opset", 0) >= 13;
  const Shape& shape = context.input(0).shape;
  const int64_t given = context.attributes().integer("axis", -1);
  if (shape.rank() == 0) return {1, 1, 1};
  if (!one_axis && given == shape.rank()) return {shape.elements(), 1, 1};
  const int64_t axis = checked_axis(context, given, shape.rank());
  if (!one_axis) return {shape.elements(0, axis), shape.elements(axis, shape.rank()), 1};
  return {shape.elements(0, axis), shape[axis], shape.elements(axis + 1, shape.rank())};
}

void infer(InferContext& context) {
  extents_of(context);
  infer_qlinear_unary(context);
}

void reference(const ReferenceContext& context) {
  const Extents extents = extents_of(context);
  const CodeParameters x = code_parameters(context, kXScale, kXZero);
  const CodeParameters y = code_parameters(context, kYScale, kYZero);
  const CodeInput codes(context, 0);
  std::vector<double> powers(static_cast<size_t>(extents.axis));
  for (int64_t i = 0; i < extents.outer * extents.inner; ++i) {
    const int64_t at = i / extents.inner * extents.axis * extents.inner + i % extents.inner;
    int32_t largest = std::numeric_limits<int32_t>::lowest();
    for (int64_t k = 0; k < extents.axis; ++k)
      largest = std::max(largest, codes[at + k * extents.inner]);
    double sum = 0.0;
    for (int64_t k = 0; k < extents.axis; ++k) {
      const int32_t below = codes[at + k * extents.inner] - largest;
      sum += powers[static_cast<size_t>(k)] = std::exp(static_cast<double>(x.scale) * below);
    }
    for (int64_t k = 0; k < extents.axis; ++k)
      put_real(context, at + k * extents.inner,
               static_cast<float>(powers[static_cast<size_t>(k)] / sum), y);
  }
}

SANDERLING_OPERATOR(qlinear_softmax)({.name = "com.microsoft.QLinearSoftmax",
                                      .since_opset = 1,
                                      .min_inputs = 2,
                                      .max_inputs = 5,
                                      .infer = infer,
                                      .reference = reference});

}  // namespace
}  // namespace sanderling
