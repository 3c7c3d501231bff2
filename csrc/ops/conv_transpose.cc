#include <algorithm>
#include <limits>

#include "kernels/table.h"
#include "ops/node_checks.h"
#include "ops/transposed_window.h"

namespace sanderling {
namespace {

// [N, C, in...] and weights [C, M / group, kernel...] to [N, M, out...].
struct Geometry {
  Window window;  // its inputs are y's pixels, its outputs are x's
  int64_t images, groups, group_inputs, group_outputs;

  int64_t taps() const { return window.taps(); }
  int64_t x_pixels() const { return window.outputs(); }
  int64_t y_pixels() const { return window.inputs(); }
};

Geometry geometry_of(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  const Shape& weights = context.input(1).shape;
  const int64_t groups = context.attributes().integer("group", 1);
  return {.window = transposed_window(context),
          .images = x[0],
          .groups = groups,
          .group_inputs = x[1] / groups,
          .group_outputs = weights[1]};
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, 1);
  const Shape& x = context.input(0).shape;
  const Shape& weights = context.input(1).shape;
  const int64_t groups = context.attributes().integer("group", 1);
  if (x.rank() < 3 || weights.rank() != x.rank())
    context.error("the weight has shape ", weights.to_string(), ", the input ", x.to_string(),
                  "; both need the same rank of 3 or more");
  if (weights[0] != x[1])
    context.error("the weight ", weights.to_string(), " has ", weights[0],
                  " input channels, the input ", x.to_string(), " has ", x[1],
                  ". Check that the layout is NCHW");
  if (groups < 1 || x[1] % groups != 0)
    context.error("group is ", groups, ", which does not divide the ", x[1], " input channels");
  const Window window = transposed_window(context);
  const std::vector<int64_t> kernel(weights.dims().begin() + 2, weights.dims().end());
  if (context.attributes().integers("kernel_shape", kernel) != kernel)
    context.error("kernel_shape is not the kernel of the weight ", weights.to_string());
  if (groups > Shape::kMaxElements || weights[1] > Shape::kMaxElements / groups)
    context.error("group is ", groups, ", which makes too many output channels of ", weights[1]);
  const int64_t channels = weights[1] * groups;
  if (context.has_input(2)) {
    require_same_dtype(context, 0, 2);
    if (context.input(2).shape != Shape{channels})
      context.error("the bias has shape ", context.input(2).shape.to_string(), ", expected [",
                    channels, "]");
  }
  std::vector<int64_t> dims{x[0], channels};
  for (const WindowAxis& axis : window.axes) dims.push_back(axis.input);
  context.set_output(0, context.input(0).dtype, checked_shape(context, std::move(dims)));
}

template <typename T>
void transpose_convolve(const ReferenceContext& context) {
  const Geometry g = geometry_of(context);
  const T* bias = context.has_input(2) ? context.in<T>(2) : nullptr;
  std::vector<double> plane(static_cast<size_t>(g.y_pixels()));
  const int64_t outputs = g.groups * g.group_outputs;
  for (int64_t out = 0; out < g.images * outputs; ++out) {
    const int64_t n = out / outputs, m = out % outputs, group = m / g.group_outputs;
    std::fill(plane.begin(), plane.end(), bias ? static_cast<double>(bias[m]) : 0.0);
    for (int64_t c = group * g.group_inputs; c < (group + 1) * g.group_inputs; ++c) {
      const T* x = context.in<T>(0) + (n * g.groups * g.group_inputs + c) * g.x_pixels();
      const T* weights = context.in<T>(1) + (c * g.group_outputs + m % g.group_outputs) * g.taps();
      for (int64_t p = 0; p < g.x_pixels(); ++p)
        for_each_tap(g.window.axes, g.window.position(p).data(), [&](int64_t tap, int64_t pixel) {
          plane[static_cast<size_t>(pixel)] +=
              static_cast<double>(x[p]) * static_cast<double>(weights[tap]);
        });
    }
    std::transform(plane.begin(), plane.end(), context.out<T>(0) + out * g.y_pixels(),
                   [](double sum) { return static_cast<T>(sum); });
  }
}

void reference(const ReferenceContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    transpose_convolve<float>(context);
  else
    transpose_convolve<double>(context);
}

// Columns [channel][tap] that a task multiplies at once: enough that a row of x is worth loading,
// few enough that they stay in L1 until they are added to y.
constexpr int64_t kColumns = 256;
// Above it nothing is planned: a tile of columns would not fit any cache.
constexpr int64_t kMaxTaps = 4096;
// x pixels multiplied at once: whole tiles of every kernel's rows.
constexpr int64_t kPixels = 48;
// A band of output rows reads this many times the rows that one window reaches over, so that what
// two bands both read is an eighth.
constexpr int64_t kReaches = 8;

// Products x^T * weights give what each x pixel adds to y, for a block of channels; they are added
// where they belong. A task owns some channels and a band of y's rows.
struct Step {
  Geometry geometry;
  const KernelTable* kernels;
  bool has_bias;
  std::shared_ptr<const Tensor> weights;  // per group and block of channels: packed columns
  int64_t block_channels, blocks;         // per group
  int64_t block_floats;
  int64_t band_rows, bands;
  size_t columns_offset, targets_offset;  // in scratch, bytes
};

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
  const Geometry& g = s.geometry;
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
}

void run(const Step& s, const StepArgs& args) {
  const int64_t tasks = s.geometry.images * s.geometry.groups * s.blocks * s.bands;
  args.workers->for_each(tasks, [&](int64_t task, int thread) {
    run_task(s, args, task, args.scratch + static_cast<size_t>(thread) * args.scratch_stride);
  });
}

// Blocks of columns [channel][tap] by depth, packed each by itself.
Tensor packed_weights(const Step& s, const float* weights) {
  const Geometry& g = s.geometry;
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

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

void plan(PlanContext& context) {
  const TensorType& x = context.input(0);
  if (x.dtype != DType::kFloat32 || !context.is_constant(1) || x.shape.elements() == 0 ||
      context.output(0).shape.elements() == 0)
    return;
  Step s{.geometry = geometry_of(context),
         .kernels = &context.kernels(),
         .has_bias = context.has_input(2)};
  const Geometry& g = s.geometry;
  const int64_t taps = g.taps();
  if (taps > kMaxTaps) return;
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
  s.weights = context.shared<Tensor>(
      "packed", [&] { return packed_weights(s, context.constant(1).data<float>().data()); });
  context.scratch(s.targets_offset + static_cast<size_t>(taps) * sizeof(Target));
  context.emit(run, std::move(s));
}

int64_t macs(const InferContext& context, const TensorType& /*output*/) {
  const Shape& weights = context.input(1).shape;
  return context.input(0).shape.elements() * weights.elements(1, weights.rank());
}

SANDERLING_OPERATOR(conv_transpose)({.name = "ConvTranspose",
                                     .since_opset = 1,
                                     .min_inputs = 2,
                                     .max_inputs = 3,
                                     .infer = infer,
                                     .reference = reference,
                                     .plan = plan,
                                     .macs = macs});

}  // namespace
}  // namespace sanderling
