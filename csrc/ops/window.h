// How a convolution or pool slides over its input: strides, pads, dilations, auto_pad and ceil_mode
// of ONNX, in the model's layout [N, C, spatial...] or in channels-last order.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "graph/operator.h"

namespace sanderling {

// One spatial axis. A kernel of `kernel` taps, `dilation` apart, stands at `output` positions,
// `stride` apart.
struct WindowAxis {
  int64_t input = 1, kernel = 1, stride = 1, dilation = 1, pad_begin = 0, pad_end = 0, output = 1;

  int64_t reach() const { return (kernel - 1) * dilation + 1; }
  // The input position of tap 0; negative on padding.
  int64_t start(int64_t at) const { return at * stride - pad_begin; }
  // Taps [begin, end) fall on the input, the others on padding.
  struct Taps {
    int64_t begin, end;
    int64_t count() const { return end - begin; }
  };
  Taps taps(int64_t at) const;
  // How many fall on the input or its padding; the last window of ceil_mode may reach beyond both.
  int64_t padded_taps(int64_t at) const;
};

// A row-major position, one index per axis.
using Position = std::array<int64_t, Shape::kMaxRank>;

struct Window {
  std::vector<WindowAxis> axes;

  int64_t inputs() const;  // pixels of one image
  int64_t outputs() const;
  int64_t taps() const;
  Position position(int64_t output) const;
};

// Reads the attributes of `context`'s node; throws kModel when they contradict each other or the
// extents.
Window window_of(const InferContext& context, std::span<const int64_t> input,
                 std::span<const int64_t> kernel);

// Calls body(tap, pixel) for every tap that falls on the input when the window stands at `at`:
// `tap` counts through the kernel row-major, `pixel` through the image. The last two parameters are
// for the recursion.
template <typename Body>
void for_each_tap(std::span<const WindowAxis> axes, const int64_t* at, const Body& body,
                  int64_t tap = 0, int64_t pixel = 0) {
  if (axes.empty()) return body(tap, pixel);
  const WindowAxis& axis = axes.front();
  const WindowAxis::Taps taps = axis.taps(*at);
  for (int64_t t = taps.begin; t < taps.end; ++t)
    for_each_tap(axes.subspan(1), at + 1, body, tap * axis.kernel + t,
                 pixel * axis.input + axis.start(*at) + t * axis.dilation);
}

// Whether the node was given [N, spatial..., C] by the layout pass; the engine's own integer
// operators always are.
bool is_channels_last(const InferContext& context);
// The spatial extents and the channels of input 0, which has at least one spatial axis.
std::vector<int64_t> spatial_extents(const InferContext& context);
int64_t channels_of(const InferContext& context);
// The shape of input 0 in the model's own layout, for messages.
std::string given_shape(const InferContext& context);
// The shape of an output with the layout and the images of input 0.
Shape image_shape(const InferContext& context, int64_t channels, const Window& window);

// Where an element stands in a tensor of `channels` and `pixels` per image.
struct ImageLayout {
  bool channels_last;
  int64_t channels, pixels;

  int64_t at(int64_t image, int64_t channel, int64_t pixel) const {
    return channels_last ? (image * pixels + pixel) * channels + channel
                         : (image * channels + channel) * pixels + pixel;
  }
};

// The windows of a channels-last tensor with up to three spatial axes, as steps walk them; the
// first are of extent 1 where it has fewer.
struct PixelGrid {
  int64_t images, channels;
  std::array<WindowAxis, 3> axes;

  const WindowAxis& z() const { return axes[0]; }
  const WindowAxis& y() const { return axes[1]; }
  const WindowAxis& x() const { return axes[2]; }
  int64_t outputs() const { return images * z().output * y().output * x().output; }
  struct Output {
    int64_t image;
    std::array<int64_t, 3> at;  // z, y, x
  };
  // Whether there is but one plane, as with one or two spatial axes: steps then leave its axis out
  // of what they do for each pixel.
  bool flat() const { return z().input == 1 && z().kernel == 1 && z().output == 1; }
  Output output(int64_t i) const {
    const int64_t row = i / x().output, plane = row / y().output;
    if (flat()) return {plane, {0, row - plane * y().output, i - row * x().output}};
    return {plane / z().output, {plane % z().output, row % y().output, i % x().output}};
  }
  // The first channel of pixel 0 of an image.
  template <typename T>
  const T* image(const T* data, int64_t index) const {
    return data + index * z().input * y().input * x().input * channels;
  }
  // for_each_tap of the window at `at`.
  template <typename Body>
  void for_each_tap_at(const Output& at, const Body& body) const {
    const std::span<const WindowAxis> all(axes);
    if (flat())
      for_each_tap(all.last(2), at.at.data() + 1, body);
    else
      for_each_tap(all, at.at.data(), body);
  }
};
// Whether input 0 has such a layout.
bool has_pixel_grid(const InferContext& context);
PixelGrid pixel_grid(const InferContext& context, const Window& window);

}  // namespace sanderling
