#include <algorithm>
#include <functional>
#include <type_traits>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/spatial_attributes.h"
#include "ops/window.h"

namespace sanderling {
namespace {

// Where blocks stand in the image: the window of a convolution whose input is the image.
Window window_of_blocks(const InferContext& context) {
  const std::vector<int64_t> image = constant_integers(context, 1);
  const std::vector<int64_t> block = constant_integers(context, 2);
  if (image.empty() || image.size() > static_cast<size_t>(Shape::kMaxRank - 2) ||
      image.size() != block.size())
    context.error("image_shape has ", image.size(), " numbers and block_shape ", block.size(),
                  ", expected as many of both, 1 to ", Shape::kMaxRank - 2);
  for (int64_t extent : image)
    if (extent < 0 || extent > kMaxSpatialNumber)
      context.error("image_shape has ", extent, ", expected 0 to ", kMaxSpatialNumber);
  // window_of takes no auto_pad and no ceil_mode from here: Col2Im has neither.
  return window_of(context, image, block);
}

void infer(InferContext& context) {
  require_number(context, 0);
  require_dtype(context, 0,
                {DType::kFloat32, DType::kFloat64, DType::kUInt8, DType::kInt8, DType::kUInt16,
                 DType::kInt16, DType::kUInt32, DType::kInt32, DType::kUInt64, DType::kInt64});
  const Shape& x = context.input(0).shape;
  if (x.rank() != 3)
    context.error("input 0 has shape ", x.to_string(),
                  ", expected a batch, channels times block elements, and blocks");
  const Window window = window_of_blocks(context);
  if (x[1] % window.taps() != 0)
    context.error("input 0 has shape ", x.to_string(), ", whose axis 1 is not a multiple of the ",
                  window.taps(), " elements of a block");
  if (x[2] != window.outputs())
    context.error("input 0 has ", x[2], " blocks, the image has room for ", window.outputs());
  std::vector<int64_t> dims{x[0], x[1] / window.taps()};
  for (const WindowAxis& axis : window.axes) dims.push_back(axis.input);
  context.set_output(0, context.input(0).dtype, checked_shape(context, std::move(dims)));
}

// Integers wrap around as they are added; floats are added in float64.
template <typename T>
void add_blocks(const ReferenceContext& context) {
  using Sum = std::conditional_t<std::is_floating_point_v<T>, double, T>;
  const Window window = window_of_blocks(context);
  const int64_t taps = window.taps(), blocks = window.outputs(), pixels = window.inputs();
  const int64_t planes = context.input(0).shape[0] * (context.input(0).shape[1] / taps);
  std::vector<Sum> image(static_cast<size_t>(pixels));
  for (int64_t plane = 0; plane < planes; ++plane) {
    std::fill(image.begin(), image.end(), Sum{0});
    const T* x = context.in<T>(0) + plane * taps * blocks;
    for (int64_t block = 0; block < blocks; ++block)
      for_each_tap(window.axes, window.position(block).data(), [&](int64_t tap, int64_t pixel) {
        Sum& sum = image[static_cast<size_t>(pixel)];
        sum = wrapping<Sum>(sum, static_cast<Sum>(x[tap * blocks + block]), std::plus<>());
      });
    std::transform(image.begin(), image.end(), context.out<T>(0) + plane * pixels,
                   [](Sum sum) { return static_cast<T>(sum); });
  }
}

void reference(const ReferenceContext& context) {
  if (context.output(0).shape.elements() == 0) return;
  visit_number(context.input(0).dtype, [&](auto zero) { add_blocks<decltype(zero)>(context); });
}

SANDERLING_OPERATOR(col2im)({.name = "Col2Im",
                             .since_opset = 18,
                             .min_inputs = 3,
                             .max_inputs = 3,
                             .infer = infer,
                             .reference = reference});

}  // namespace
}  // namespace sanderling
