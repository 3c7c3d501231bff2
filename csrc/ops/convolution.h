// What Conv and QConv share: geometry, weights in the order in which the kernels read them, and gathering of input rows.
#pragma once

#include <cstring>
#include <vector>

#include "ops/window.h"

namespace sanderling {

// A convolution over [N, H, W, C]; one-dimensional ones have H = 1.
struct ConvGeometry {
  int64_t batch, height, width, channels;
  int64_t out_height, out_width, out_channels;
  int64_t groups, kernel_height, kernel_width;
  int64_t stride_y, stride_x, dilation_y, dilation_x, pad_top, pad_left;

  int64_t group_inputs() const { return channels / groups; }
  int64_t group_outputs() const { return out_channels / groups; }
  int64_t taps() const { return kernel_height * kernel_width; }
  int64_t depth() const { return taps() * group_inputs(); }  // products per output element
  int64_t pixels() const { return batch * out_height * out_width; }
  bool depthwise() const { return groups == channels && out_channels == channels; }
  // Every output pixel reads exactly its input pixel.
  bool pointwise() const;
};

// The shape rule of a convolution, for any number of spatial axes; sets output 0's shape with `dtype`.
void infer_convolution(InferContext& context, DType dtype);
Window convolution_window(const InferContext& context);
int64_t convolution_macs(const InferContext& context, const TensorType& output);
// For channels-last inputs with one or two spatial axes.
ConvGeometry conv_geometry(const InferContext& context);

// [O, C/group, taps] to [O, taps, C/group]: the order of a gathered row.
template <typename T>
std::vector<T> taps_first(const T* weights, int64_t outputs, int64_t group_inputs, int64_t taps) {
  std::vector<T> result(static_cast<size_t>(outputs * group_inputs * taps));
  size_t at = 0;
  for (int64_t o = 0; o < outputs; ++o)
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t c = 0; c < group_inputs; ++c)
        result[at++] = weights[(o * group_inputs + c) * taps + t];
  return result;
}

// [C, 1, taps] to [taps, C]: the order of the depthwise kernels.
template <typename T>
std::vector<T> taps_outermost(const T* weights, int64_t channels, int64_t taps) {
  std::vector<T> result(static_cast<size_t>(channels * taps));
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < taps; ++t)
      result[static_cast<size_t>(t * channels + c)] = weights[c * taps + t];
  return result;
}

// The pixels of a tile that share scratch: enough rows that the tile is about a quarter of a 128 KiB share of L2, so that rows
// and the accumulators stay in cache between gathering, product and epilogue; a multiple of every kernel's rows.
constexpr int64_t kTileBytes = 32768;
inline int64_t tile_rows(int64_t bytes_per_row) {
  const int64_t rows = kTileBytes / (bytes_per_row > 0 ? bytes_per_row : 1);
  return rows < 24 ? 24 : rows > 240 ? 240 : rows / 24 * 24;
}

struct OutputPixel {
  int64_t image, y, x;
};
inline OutputPixel output_pixel(const ConvGeometry& g, int64_t pixel) {
  return {pixel / (g.out_width * g.out_height), pixel / g.out_width % g.out_height, pixel % g.out_width};
}

// Copies what one output pixel reads of one group into `row` [taps, C/group]; pixels outside the input are `padding`.
template <typename T>
void gather_row(const ConvGeometry& g, const T* x, int64_t pixel, int64_t group, T padding, T* row) {
  const OutputPixel at = output_pixel(g, pixel);
  const int64_t count = g.group_inputs();
  const T* image = x + at.image * g.height * g.width * g.channels + group * count;
  const int64_t left = at.x * g.stride_x - g.pad_left;
  for (int64_t ky = 0; ky < g.kernel_height; ++ky) {
    const int64_t y = at.y * g.stride_y - g.pad_top + ky * g.dilation_y;
    const bool row_inside = y >= 0 && y < g.height;
    const bool run = g.groups == 1 && g.dilation_x == 1 && row_inside && left >= 0 &&
                     left + g.kernel_width <= g.width;
    if (run) {  // the whole kernel row is contiguous
      std::memcpy(row, image + (y * g.width + left) * g.channels,
                  static_cast<size_t>(g.kernel_width * count) * sizeof(T));
      row += g.kernel_width * count;
      continue;
    }
    for (int64_t kx = 0; kx < g.kernel_width; ++kx, row += count) {
      const int64_t column = left + kx * g.dilation_x;
      if (row_inside && column >= 0 && column < g.width)
        std::memcpy(row, image + (y * g.width + column) * g.channels, static_cast<size_t>(count) * sizeof(T));
      else
        std::fill(row, row + count, padding);
    }
  }
}

// Points each tap at the channels that it reads for one output pixel, or at `padding`, one row of channels.
template <typename T>
void point_taps(const ConvGeometry& g, const T* x, int64_t pixel, const T* padding, const T** taps) {
  const OutputPixel at = output_pixel(g, pixel);
  const T* image = x + at.image * g.height * g.width * g.channels;
  for (int64_t ky = 0; ky < g.kernel_height; ++ky) {
    const int64_t y = at.y * g.stride_y - g.pad_top + ky * g.dilation_y;
    for (int64_t kx = 0; kx < g.kernel_width; ++kx) {
      const int64_t column = at.x * g.stride_x - g.pad_left + kx * g.dilation_x;
      const bool inside = y >= 0 && y < g.height && column >= 0 && column < g.width;
      *taps++ = inside ? image + (y * g.width + column) * g.channels : padding;
    }
  }
}

}  // namespace sanderling
