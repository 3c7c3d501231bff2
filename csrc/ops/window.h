// How a convolution or pool slides over its input: strides, pads, dilations, auto_pad and ceil_mode of ONNX.
#pragma once

#include <span>
#include <vector>

#include "graph/operator.h"

namespace sanderling {

// One entry per spatial axis.
struct Window {
  std::vector<int64_t> input, kernel, stride, dilation, pad_begin, pad_end, output;

  size_t axes() const { return input.size(); }
  int64_t output_elements() const;
  int64_t kernel_elements() const;
};

// Reads the attributes of `context`'s node; throws kModel when they contradict each other or the extents.
Window window_of(const InferContext& context, std::span<const int64_t> input,
                 std::span<const int64_t> kernel);

// Whether the node was given [N, spatial..., C] by the layout pass; the engine's own integer operators always are.
bool is_channels_last(const InferContext& context);
// The spatial extents of input 0.
std::vector<int64_t> spatial_extents(const InferContext& context);
// [N, channels, spatial...] or [N, spatial..., channels], as the node's layout says.
Shape image_shape(const InferContext& context, int64_t channels, std::span<const int64_t> spatial);
int64_t channels_of(const InferContext& context);

// Calls body(offset) for every kernel tap that falls inside the input at output position `at` (one index per axis): `tap` counts
// through the kernel row-major, `pixel` through the spatial input row-major.
template <typename Body>
void for_each_tap(const Window& window, std::span<const int64_t> at, const Body& body) {
  const int64_t taps = window.kernel_elements();
  for (int64_t tap = 0; tap < taps; ++tap) {
    int64_t rest = tap;
    int64_t pixel = 0;
    int64_t stride = 1;
    bool inside = true;
    for (size_t axis = window.axes(); axis-- > 0;) {
      const int64_t k = rest % window.kernel[axis];
      rest /= window.kernel[axis];
      const int64_t i =
          at[axis] * window.stride[axis] - window.pad_begin[axis] + k * window.dilation[axis];
      inside = inside && i >= 0 && i < window.input[axis];
      pixel += i * stride;
      stride *= window.input[axis];
    }
    if (inside) body(tap, pixel);
  }
}

// Splits a row-major output position into one index per axis.
std::vector<int64_t> position_of(const Window& window, int64_t output_pixel);

}  // namespace sanderling
