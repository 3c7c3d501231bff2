#include <algorithm>

#include "ops/axes.h"
#include "ops/window.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  context.attributes().integer("align_corners", 0);
  const Shape& theta = context.input(0).shape;
  const std::vector<int64_t> size = constant_integers(context, 1);
  const int64_t axes = static_cast<int64_t>(size.size()) - 2;
  if (axes != 2 && axes != 3)
    context.error("size has ", size.size(), " numbers, expected 4 or 5: N, C and the image");
  if (theta != Shape{size[0] < 0 ? 0 : size[0], axes, axes + 1})
    context.error("theta has shape ", theta.to_string(), ", expected [", size[0], ", ", axes, ", ",
                  axes + 1, "]");
  std::vector<int64_t> dims{size[0]};
  dims.insert(dims.end(), size.begin() + 2, size.end());
  dims.push_back(axes);
  context.set_output(0, context.input(0).dtype, checked_shape(context, std::move(dims)));
}

// The coordinate of pixel i: -1 and 1 are the centres of the outermost pixels, or their outer
// edges. One pixel alone is in the middle.
double coordinate(int64_t i, int64_t extent, bool align_corners) {
  const auto at = static_cast<double>(i), count = static_cast<double>(extent);
  if (!align_corners) return (2.0 * at + 1.0) / count - 1.0;
  return extent == 1 ? 0.0 : 2.0 * at / (count - 1.0) - 1.0;
}

template <typename T>
void make_grid(const ReferenceContext& context) {
  const Shape& shape = context.output(0).shape;
  const int64_t axes = shape.rank() - 2, pixels = shape.elements(1, axes + 1);
  const bool align_corners = context.attributes().integer("align_corners", 0) != 0;
  for (int64_t i = 0; i < shape[0] * pixels; ++i) {
    const T* theta = context.in<T>(0) + i / pixels * axes * (axes + 1);
    Position at{};  // x first, which is the last axis
    for (int64_t axis = axes, rest = i % pixels; axis-- > 0; rest /= shape[axis + 1])
      at[static_cast<size_t>(axes - 1 - axis)] = rest % shape[axis + 1];
    for (int64_t row = 0; row < axes; ++row) {
      auto sum = static_cast<double>(theta[row * (axes + 1) + axes]);
      for (int64_t j = 0; j < axes; ++j)
        sum += static_cast<double>(theta[row * (axes + 1) + j]) *
               coordinate(at[static_cast<size_t>(j)], shape[axes - j], align_corners);
      context.out<T>(0)[i * axes + row] = static_cast<T>(sum);
    }
  }
}

void reference(const ReferenceContext& context) {
  if (context.output(0).shape.elements() == 0) return;
  if (context.input(0).dtype == DType::kFloat32)
    make_grid<float>(context);
  else
    make_grid<double>(context);
}

SANDERLING_OPERATOR(affine_grid)({.name = "AffineGrid",
                                  .since_opset = 20,
                                  .min_inputs = 2,
                                  .max_inputs = 2,
                                  .infer = infer,
                                  .reference = reference});

}  // namespace
}  // namespace sanderling
