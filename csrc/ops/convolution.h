// What Conv and QConv share: geometry, weights in the order in which the kernels read them, and
// gathering of input rows.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "ops/window.h"

namespace sanderling {

// The shape rule of a convolution, for any number of spatial axes; sets output 0's shape with
// `dtype`. `weights` and `bias` are inputs; the latter may be absent.
void infer_convolution(InferContext& context, DType dtype, size_t weights = 1, size_t bias = 2);
Window convolution_window(const InferContext& context, size_t weights = 1);
int64_t convolution_macs(const InferContext& context, const TensorType& output);

// A convolution over [N, W, C], [N, H, W, C] or [N, D, H, W, C].
struct ConvGeometry {
  PixelGrid grid;
  int64_t out_channels, groups;

  int64_t channels() const { return grid.channels; }
  int64_t group_inputs() const { return grid.channels / groups; }
  int64_t group_outputs() const { return out_channels / groups; }
  int64_t taps() const { return grid.z().kernel * grid.y().kernel * grid.x().kernel; }
  int64_t depth() const { return taps() * group_inputs(); }  // products per output element
  int64_t pixels() const { return grid.outputs(); }          // of the output
  // A single channel is no group: kernels that take a channel per lane would use one lane.
  bool depthwise() const {
    return groups > 1 && groups == grid.channels && out_channels == grid.channels;
  }
  // Every output pixel reads exactly its input pixel.
  bool pointwise() const;
};
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

// The pixels of a tile that share scratch: enough rows that the tile is about a quarter of a 128
// KiB share of L2, so that rows and the accumulators stay in cache between gathering, product and
// epilogue; a multiple of every kernel's rows.
constexpr int64_t kTileBytes = 32768;
inline int64_t tile_rows(int64_t bytes_per_row) {
  const int64_t rows = kTileBytes / std::max<int64_t>(bytes_per_row, 1);
  return rows < 24 ? 24 : rows > 240 ? 240 : rows / 24 * 24;
}

// Calls body(begin, end, thread) for tiles of `rows` that cover [0, count).
template <typename Body>
void for_each_tile(Workers& workers, int64_t count, int64_t rows, const Body& body) {
  workers.for_each((count + rows - 1) / rows, [&](int64_t tile, int thread) {
    body(tile * rows, std::min(count, (tile + 1) * rows), thread);
  });
}

// Copies what one output pixel reads of one group in one plane into `row` [kernel y, kernel x,
// C/group].
// Inlined: a call per pixel is a tenth of the time of a first layer with 3 channels.
template <typename T>
[[gnu::always_inline]] inline void gather_plane(const ConvGeometry& g, const T* plane,
                                                const PixelGrid::Output& output, T padding,
                                                T* row) {
  const WindowAxis& y = g.grid.y();
  const WindowAxis& x = g.grid.x();
  const WindowAxis::Taps rows = y.taps(output.at[1]), columns = x.taps(output.at[2]);
  const int64_t count = g.group_inputs(), kernel_row = x.kernel * count;
  std::fill(row, row + rows.begin * kernel_row, padding);
  for (int64_t ky = rows.begin; ky < rows.end; ++ky) {
    T* to = row + ky * kernel_row;
    const int64_t row_at =
        (y.start(output.at[1]) + ky * y.dilation) * x.input + x.start(output.at[2]);
    std::fill(to, to + columns.begin * count, padding);
    if (columns.count() > 0 && x.dilation == 1 &&
        g.groups == 1) {  // the pixels that the kernel row reads are contiguous
      std::memcpy(to + columns.begin * count, plane + (row_at + columns.begin) * count,
                  static_cast<size_t>(columns.count() * count) * sizeof(T));
    } else {
      for (int64_t kx = columns.begin; kx < columns.end; ++kx)
        std::memcpy(to + kx * count, plane + (row_at + kx * x.dilation) * g.channels(),
                    static_cast<size_t>(count) * sizeof(T));
    }
    std::fill(to + columns.end * count, to + kernel_row, padding);
  }
  std::fill(row + rows.end * kernel_row, row + y.kernel * kernel_row, padding);
}

// Copies what one output pixel reads of one group into `row` [taps, C/group]; taps on padding
// become `padding`.
template <typename T>
void gather_row(const ConvGeometry& g, const T* data, int64_t pixel, int64_t group, T padding,
                T* row) {
  const PixelGrid::Output output = g.grid.output(pixel);
  const T* image = g.grid.image(data, output.image) + group * g.group_inputs();
  if (g.grid.flat()) return gather_plane(g, image, output, padding, row);
  const WindowAxis& z = g.grid.z();
  const int64_t plane = g.grid.y().input * g.grid.x().input * g.channels();
  const int64_t kernel_plane = g.grid.y().kernel * g.grid.x().kernel * g.group_inputs();
  const WindowAxis::Taps planes = z.taps(output.at[0]);
  std::fill(row, row + planes.begin * kernel_plane, padding);
  for (int64_t kz = planes.begin; kz < planes.end; ++kz)
    gather_plane(g, image + (z.start(output.at[0]) + kz * z.dilation) * plane, output, padding,
                 row + kz * kernel_plane);
  std::fill(row + planes.end * kernel_plane, row + z.kernel * kernel_plane, padding);
}

// Points each tap at the channels that it reads for one output pixel, or at `padding`, one row of
// channels.
template <typename T>
void point_taps(const ConvGeometry& g, const T* data, int64_t pixel, const T* padding,
                const T** taps) {
  const PixelGrid::Output output = g.grid.output(pixel);
  const T* image = g.grid.image(data, output.image);
  std::fill(taps, taps + g.taps(), padding);
  g.grid.for_each_tap_at(output,
                         [&](int64_t tap, int64_t at) { taps[tap] = image + at * g.channels(); });
}

}  // namespace sanderling
