// The steps of ConvTranspose.
#include <algorithm>
#include <limits>

#include "kernels/table.h"
#include "ops/activation_range.h"
#include "ops/transposed_convolution.h"

namespace sanderling {
namespace {

// Columns [channel][tap] that a task multiplies at once: enough that a row of x is worth loading,
// few enough that they stay in L1 until they are added to y.
constexpr int64_t kColumns = 256;
// Above it nothing is planned: a tile of columns would not fit any cache.
constexpr int64_t kMaxTaps = 4096;
// Input channels of a group below which no product is worth its packing.
constexpr int64_t kThin = 8;
// The same for input channels.
constexpr int64_t kMaxDepth = 1 << 16;
// x pixels multiplied at once: whole tiles of every kernel's rows.
constexpr int64_t kPixels = 48;
// A band of output rows reads this many times the rows that one window reaches over, so that what
// two bands both read is an eighth.
constexpr int64_t kReaches = 8;

// Products x^T * weights give what each x pixel adds to y, for a block of channels; they are added
// where they belong. A task owns some channels and a band of y's rows.
struct Step {
  TransposedConvolution geometry;
  const KernelTable* kernels;
  bool has_bias;
  ActivationRange range{};
  std::shared_ptr<const Tensor> weights{};  // per group and block of channels: packed columns
  int64_t block_channels = 0, blocks = 0;   // per group
  int64_t block_floats = 0;
  int64_t band_rows = 0, bands = 0;
  size_t columns_offset = 0, targets_offset = 0;  // in scratch, bytes
};

void clamp(const ActivationRange& range, float* y, int64_t count) {
  if (range.is_all()) return;
  for (int64_t i = 0; i < count; ++i) y[i] = range.clamp(y[i]);
}

struct Target {
  int64_t tap, pixel;
};

// The x rows whose windows touch y rows [begin, end).
struct Rows {
  int64_t begin, end;
};
Rows rows_that_touch(const WindowAxis& axis, int64_t begin, int64_t end) {
  const int64_t first = begin + axis.pad_begin - axis.reach() + 1;
  const int64_t last = end - 1 + axis.pad_begin;
  return {
      std::clamp<int64_t>(first <= 0 ? 0 : (first + axis.stride - 1) / axis.stride, 0, axis.output),
      std::clamp<int64_t>(last / axis.stride + 1, 0, axis.output)};
}

// [channels][pixels] to [pixels][channels] for `count` pixels.
void gather_pixels(const float* x, int64_t channels, int64_t pixels, int64_t count, float* rows) {
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t i = 0; i < count; ++i) rows[i * channels + c] = x[c * pixels + i];
}

void run_task(const Step& s, const StepArgs& args, int64_t task, std::byte* scratch) {
  const TransposedConvolution& g = s.geometry;
  const int64_t band = task % s.bands, block = task / s.bands % s.blocks;
  const int64_t group = task / s.bands / s.blocks % g.groups;
  const int64_t image = task / s.bands / s.blocks / g.groups;
  const int64_t channel = block * s.block_channels;
  const int64_t channels = std::min(s.block_channels, g.group_outputs - channel);
  const WindowAxis& rows_axis = g.window.axes[0];
  const int64_t row_pixels = g.y_pixels() / rows_axis.input;
  const int64_t y_begin = band * s.band_rows * row_pixels;
  const int64_t y_end = std::min(rows_axis.input, (band + 1) * s.band_rows) * row_pixels;
  const int64_t first = group * g.group_outputs + channel;
  float* y = static_cast<float*>(args.outputs[0]) +
             (image * g.groups * g.group_outputs + first) * g.y_pixels();
  const auto* bias = s.has_bias ? static_cast<const float*>(args.inputs[2]) + first : nullptr;
  for (int64_t m = 0; m < channels; ++m)
    std::fill(y + m * g.y_pixels() + y_begin, y + m * g.y_pixels() + y_end, bias ? bias[m] : 0.0f);

  auto* pixels = reinterpret_cast<float*>(scratch);
  auto* columns = reinterpret_cast<float*>(scratch + s.columns_offset);
  auto* targets = reinterpret_cast<Target*>(scratch + s.targets_offset);
  const float* x = static_cast<const float*>(args.inputs[0]) +
                   (image * g.groups + group) * g.group_inputs * g.x_pixels();
  const int64_t x_row = g.x_pixels() / rows_axis.output, taps = g.taps();
  const Rows rows = rows_that_touch(rows_axis, y_begin / row_pixels, y_end / row_pixels);
  for (int64_t at = rows.begin * x_row; at < rows.end * x_row; at += kPixels) {
    const int64_t count = std::min(kPixels, rows.end * x_row - at);
    gather_pixels(x + at, g.group_inputs, g.x_pixels(), count, pixels);
    s.kernels->gemm_f32(
        {.rows = count,
         .columns = channels * taps,
         .depth = g.group_inputs,
         .a = pixels,
         .a_stride = g.group_inputs,
         .b = s.weights->data<float>().data() + (group * s.blocks + block) * s.block_floats,
         .bias = nullptr,
         .low = -std::numeric_limits<float>::infinity(),
         .high = std::numeric_limits<float>::infinity(),
         .c = columns,
         .c_stride = channels * taps});
    for (int64_t i = 0; i < count; ++i) {
      int64_t touched = 0;
      for_each_tap(g.window.axes, g.window.position(at + i).data(),
                   [&](int64_t tap, int64_t pixel) {
                     if (pixel >= y_begin && pixel < y_end) targets[touched++] = {tap, pixel};
                   });
      for (int64_t m = 0; m < channels; ++m) {
        const float* sums = columns + (i * channels + m) * taps;
        float* plane = y + m * g.y_pixels();
        for (int64_t t = 0; t < touched; ++t) plane[targets[t].pixel] += sums[targets[t].tap];
      }
    }
  }
  for (int64_t m = 0; m < channels; ++m)
    clamp(s.range, y + m * g.y_pixels() + y_begin, y_end - y_begin);
}

void run(const Step& s, const StepArgs& args) {
  const int64_t tasks = s.geometry.images * s.geometry.groups * s.blocks * s.bands;
  args.workers->for_each(tasks, [&](int64_t task, int thread) {
    run_task(s, args, task, args.scratch + static_cast<size_t>(thread) * args.scratch_stride);
  });
}

// Blocks of columns [channel][tap] by depth, packed each by itself.
Tensor packed_weights(const Step& s, const float* weights) {
  const TransposedConvolution& g = s.geometry;
  const int64_t group_columns = g.group_outputs * g.taps();
  Tensor packed(DType::kFloat32, Shape{g.groups * s.blocks * s.block_floats});
  std::vector<float> columns(static_cast<size_t>(group_columns * g.group_inputs));
  for (int64_t group = 0; group < g.groups; ++group) {
    const float* from = weights + group * g.group_inputs * group_columns;
    for (int64_t column = 0; column < group_columns; ++column)
      for (int64_t c = 0; c < g.group_inputs; ++c)
        columns[static_cast<size_t>(column * g.group_inputs + c)] =
            from[c * group_columns + column];
    for (int64_t block = 0; block < s.blocks; ++block) {
      const int64_t first = block * s.block_channels * g.taps();
      s.kernels->pack_f32(
          columns.data() + first * g.group_inputs,
          std::min(s.block_channels * g.taps(), group_columns - first), g.group_inputs,
          packed.mutable_data<float>().data() + (group * s.blocks + block) * s.block_floats);
    }
  }
  return packed;
}

// Where a window reads few channels a product is too thin: each tap of a plane's row adds to a row
// of y. One or two spatial axes; a task is a plane of y.
struct DirectStep {
  TransposedConvolution geometry;
  bool has_bias;
  ActivationRange range;
};

void add_row(const WindowAxis& axis, const float* x, const float* weights, float* y) {
  for (int64_t tap = 0; tap < axis.kernel; ++tap) {
    const int64_t offset = tap * axis.dilation - axis.pad_begin;  // of x's first pixel in y
    const int64_t begin = offset >= 0 ? 0 : (axis.stride - 1 - offset) / axis.stride;
    const int64_t room = axis.input - offset;
    const int64_t end =
        room <= 0 ? 0 : std::min(axis.output, (room + axis.stride - 1) / axis.stride);
    const float weight = weights[tap];
    if (axis.stride == 1)
      for (int64_t i = begin; i < end; ++i) y[i + offset] += x[i] * weight;
    else
      for (int64_t i = begin; i < end; ++i) y[i * axis.stride + offset] += x[i] * weight;
  }
}

void run_direct(const DirectStep& s, const StepArgs& args) {
  const TransposedConvolution& g = s.geometry;
  const WindowAxis& columns = g.window.axes.back();
  const WindowAxis rows = g.window.axes.size() == 2 ? g.window.axes[0] : WindowAxis{};
  const int64_t outputs = g.groups * g.group_outputs;
  args.workers->for_each(g.images * outputs, [&](int64_t plane, int /*thread*/) {
    const int64_t m = plane % outputs, group = m / g.group_outputs;
    float* y = static_cast<float*>(args.outputs[0]) + plane * g.y_pixels();
    std::fill_n(y, g.y_pixels(), s.has_bias ? static_cast<const float*>(args.inputs[2])[m] : 0.0f);
    for (int64_t c = group * g.group_inputs; c < (group + 1) * g.group_inputs; ++c) {
      const float* x = static_cast<const float*>(args.inputs[0]) +
                       (plane / outputs * g.groups * g.group_inputs + c) * g.x_pixels();
      const float* weights = static_cast<const float*>(args.inputs[1]) +
                             (c * g.group_outputs + m % g.group_outputs) * g.taps();
      for (int64_t row = 0; row < rows.output; ++row) {
        const WindowAxis::Taps taps = rows.taps(row);
        for (int64_t tap = taps.begin; tap < taps.end; ++tap)
          add_row(columns, x + row * columns.output, weights + tap * columns.kernel,
                  y + (rows.start(row) + tap * rows.dilation) * columns.input);
      }
    }
    clamp(s.range, y, g.y_pixels());
  });
}

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

void plan_transposed_convolution(PlanContext& context) {
  const TensorType& x = context.input(0);
  if (x.dtype != DType::kFloat32 || x.shape.elements() == 0 ||
      context.output(0).shape.elements() == 0)
    return;
  const TransposedConvolution geometry = transposed_convolution(context);
  if (geometry.window.axes.size() <= 2 &&
      (geometry.group_inputs < kThin || !context.is_constant(1)))
    return context.emit(run_direct,
                        DirectStep{geometry, context.has_input(2), activation_range(context)});
  if (!context.is_constant(1)) return;
  Step s{.geometry = geometry,
         .kernels = &context.kernels(),
         .has_bias = context.has_input(2),
         .range = activation_range(context)};
  const TransposedConvolution& g = s.geometry;
  const int64_t taps = g.taps();
  if (taps > kMaxTaps || g.group_inputs > kMaxDepth) return;
  s.block_channels = std::clamp<int64_t>(kColumns / taps, 1, g.group_outputs);
  s.blocks = (g.group_outputs + s.block_channels - 1) / s.block_channels;
  s.block_floats = static_cast<int64_t>(
      s.kernels->packed_bytes_f32(s.block_channels * taps, g.group_inputs) / sizeof(float));
  const WindowAxis& rows = g.window.axes[0];
  s.band_rows = std::min(rows.input, kReaches * std::max(rows.reach(), rows.stride));
  s.bands = (rows.input + s.band_rows - 1) / s.band_rows;
  s.columns_offset = aligned(static_cast<size_t>(kPixels * g.group_inputs) * sizeof(float));
  s.targets_offset =
      s.columns_offset +
      aligned(static_cast<size_t>(kPixels * s.block_channels * taps) * sizeof(float));
  s.weights = context.shared_tensor(
      "packed", {DType::kFloat32, Shape{g.groups * s.blocks * s.block_floats}},
      [&] { return packed_weights(s, context.constant(1).data<float>().data()); });
  context.scratch(s.targets_offset + static_cast<size_t>(taps) * sizeof(Target));
  context.emit(run, std::move(s));
}

}  // namespace sanderling
