#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include "ops/element_types.h"
#include "ops/node_checks.h"
#include "ops/parallel.h"
#include "ops/saturated.h"
#include "ops/window.h"

namespace sanderling {
namespace {

enum class Mode : uint8_t { kNearest, kLinear, kCubic };
enum class Padding : uint8_t { kZeros, kBorder, kReflection };

struct Settings {
  Mode mode;
  Padding padding;
  bool align_corners;
};

Settings settings_of(const InferContext& context) {
  Settings settings{};
  const std::string mode = context.attributes().text("mode", "linear");
  if (mode == "linear" || mode == "bilinear")
    settings.mode = Mode::kLinear;
  else if (mode == "cubic" || mode == "bicubic")
    settings.mode = Mode::kCubic;
  else if (mode != "nearest")
    context.error("mode is '", mode, "', expected linear, nearest or cubic");
  const std::string padding = context.attributes().text("padding_mode", "zeros");
  if (padding == "border")
    settings.padding = Padding::kBorder;
  else if (padding == "reflection")
    settings.padding = Padding::kReflection;
  else if (padding != "zeros")
    context.error("padding_mode is '", padding, "', expected zeros, border or reflection");
  settings.align_corners = context.attributes().integer("align_corners", 0) != 0;
  return settings;
}

void infer(InferContext& context) {
  require_number(context, 0);
  require_dtype(context, 0,
                {DType::kFloat32, DType::kFloat64, DType::kUInt8, DType::kInt8, DType::kUInt16,
                 DType::kInt16, DType::kUInt32, DType::kInt32, DType::kUInt64, DType::kInt64});
  require_dtype(context, 1, {DType::kFloat32, DType::kFloat64});
  settings_of(context);
  const Shape& x = context.input(0).shape;
  const Shape& grid = context.input(1).shape;
  const int64_t axes = x.rank() - 2;
  if (axes < 1 || grid.rank() != x.rank() || grid[0] != x[0] || grid[grid.rank() - 1] != axes)
    context.error("x has shape ", x.to_string(), " and the grid ", grid.to_string(),
                  ", expected [N, C, spatial...] and [N, spatial of the output..., ", axes, "]");
  std::vector<int64_t> dims{x[0], x[1]};
  dims.insert(dims.end(), grid.dims().begin() + 1, grid.dims().end() - 1);
  Shape shape = checked_shape(context, std::move(dims));
  if (shape.elements() > 0 && x.elements() == 0)
    context.error("x has shape ", x.to_string(), ", which has no pixels to sample");
  context.set_output(0, context.input(0).dtype, std::move(shape));
}

// x reflected at both borders until it is between them.
template <typename F>
F reflect(F x, F low, F high) {
  const F range = high - low;
  if (range <= 0) return low;
  const F from = x < low ? low - x : x - high;
  const F times = std::floor(from / range), rest = from - times * range;
  const bool even = std::fmod(times, F{2}) == 0;
  return (x < low) == even ? low + rest : high - rest;
}

// The pixel that stands for one that may be outside; -1 where that is zero.
int64_t padded(int64_t pixel, int64_t extent, const Settings& s) {
  if (pixel >= 0 && pixel < extent) return pixel;
  if (s.padding == Padding::kZeros) return -1;
  if (s.padding == Padding::kReflection)
    pixel = static_cast<int64_t>(
        s.align_corners
            ? reflect<double>(static_cast<double>(pixel), 0.0, static_cast<double>(extent - 1))
            : reflect<double>(static_cast<double>(pixel), -0.5, static_cast<double>(extent) - 0.5));
  return std::clamp<int64_t>(pixel, 0, extent - 1);
}

// Where a coordinate between -1 and 1 looks, in pixels; computed in the grid's own type, as ONNX
// Runtime does, so that nearest rounds the same way.
template <typename F>
F position(F coordinate, int64_t extent, const Settings& s) {
  const auto size = static_cast<F>(extent);
  F x = s.align_corners ? (coordinate + 1) / 2 * (size - 1) : ((coordinate + 1) * size - 1) / 2;
  // Farther out than any image, and NaN: outside as well, within what integers hold.
  constexpr F kFar = F{1 << 30};
  if (!(std::abs(x) < kFar)) x = std::isnan(x) || x < 0 ? -kFar : kFar;
  if (s.mode == Mode::kNearest) x = std::nearbyint(x);
  const F low = s.align_corners ? F{0} : F{-0.5}, high = low + (s.align_corners ? size - 1 : size);
  // The neighbours of a cubic are padded one by one; its own position goes on moving outside.
  const bool moves = s.mode == Mode::kCubic && s.padding == Padding::kBorder;
  if (s.padding == Padding::kZeros || moves || (x >= low && x <= high)) return x;
  return s.padding == Padding::kBorder ? std::clamp(x, F{0}, size - 1) : reflect(x, low, high);
}

// Up to four pixels of one axis and their weights.
struct AxisTaps {
  int count = 0;
  std::array<int64_t, 4> pixels{};  // -1: zero
  std::array<double, 4> weights{};
};

void set_weights(AxisTaps& taps, Mode mode, double ratio) {
  if (mode == Mode::kNearest) {
    taps.count = 1;
    taps.weights = {1.0};
  } else if (mode == Mode::kLinear) {
    taps.count = 2;
    taps.weights = {1.0 - ratio, ratio};
  } else {
    taps.count = 4;
    constexpr double kA = -0.75;  // of Keys' cubic convolution, as ONNX defines it
    const auto near = [](double d) { return ((kA + 2.0) * d - (kA + 3.0)) * d * d + 1.0; };
    const auto far = [](double d) { return ((kA * d - 5.0 * kA) * d + 8.0 * kA) * d - 4.0 * kA; };
    taps.weights = {far(ratio + 1.0), near(ratio), near(1.0 - ratio), far(2.0 - ratio)};
  }
}

template <typename F>
AxisTaps axis_taps(F coordinate, int64_t extent, const Settings& s) {
  const F x = position(coordinate, extent, s);
  const auto below = static_cast<int64_t>(std::floor(x));
  AxisTaps taps;
  set_weights(taps, s.mode, static_cast<double>(x) - static_cast<double>(below));
  const int64_t first = s.mode == Mode::kCubic ? below - 1 : below;
  for (int t = 0; t < taps.count; ++t)
    taps.pixels[static_cast<size_t>(t)] = padded(first + t, extent, s);
  return taps;
}

using AllTaps = std::array<AxisTaps, Shape::kMaxRank>;

// The weighted sum over axes [axis, axes) of the pixels at `x`, whose extents are `extents`.
template <typename T>
double sum_of(const T* x, const AllTaps& taps, const int64_t* extents, int64_t axes, int64_t axis,
              int64_t at) {
  if (axis == axes) return static_cast<double>(x[at]);
  const AxisTaps& these = taps[static_cast<size_t>(axis)];
  double sum = 0.0;
  for (size_t t = 0; t < static_cast<size_t>(these.count); ++t)
    if (these.pixels[t] >= 0)
      sum += these.weights[t] *
             sum_of(x, taps, extents, axes, axis + 1, at * extents[axis] + these.pixels[t]);
  return sum;
}

// The only pixel of each axis, or 0.
template <typename T>
T nearest_of(const T* x, const AllTaps& taps, const int64_t* extents, int64_t axes) {
  int64_t at = 0;
  for (int64_t axis = 0; axis < axes; ++axis) {
    const int64_t pixel = taps[static_cast<size_t>(axis)].pixels[0];
    if (pixel < 0) return T{0};
    at = at * extents[axis] + pixel;
  }
  return x[at];
}

template <typename T, typename F>
void sample(const ReferenceContext& context) {
  const Settings s = settings_of(context);
  const Shape& shape = context.input(0).shape;
  const int64_t axes = shape.rank() - 2, channels = shape[1];
  const int64_t* extents = shape.dims().data() + 2;
  const int64_t pixels = shape.elements(2, shape.rank());
  const int64_t outputs = context.output(0).shape.elements(2, shape.rank());
  AllTaps taps;
  for (int64_t n = 0; n < shape[0]; ++n) {
    for (int64_t i = 0; i < outputs; ++i) {
      // The grid names the last axis first.
      const F* coordinates = context.in<F>(1) + (n * outputs + i) * axes;
      for (int64_t axis = 0; axis < axes; ++axis)
        taps[static_cast<size_t>(axis)] = axis_taps(coordinates[axes - 1 - axis], extents[axis], s);
      for (int64_t c = n * channels; c < (n + 1) * channels; ++c) {
        const T* x = context.in<T>(0) + c * pixels;
        context.out<T>(0)[c * outputs + i] =
            s.mode == Mode::kNearest ? nearest_of(x, taps, extents, axes)
                                     : saturated<T>(sum_of(x, taps, extents, axes, 0, 0));
      }
    }
  }
}

void reference(const ReferenceContext& context) {
  if (context.output(0).shape.elements() == 0) return;
  visit_number(context.input(0).dtype, [&](auto zero) {
    if (context.input(1).dtype == DType::kFloat32)
      sample<decltype(zero), float>(context);
    else
      sample<decltype(zero), double>(context);
  });
}

// Grid positions of a task: their corners stay in L1 while all channels read them.
constexpr int64_t kPositions = 256;

struct Step {
  Settings settings;
  int64_t images, channels, rows, columns, outputs;
};

// The four pixels around each position of a task, and their weights.
struct Corners {
  std::array<std::array<int32_t, kPositions>, 4> pixels;  // -1: zero
  std::array<std::array<float, kPositions>, 4> weights;
};

void find_corners(const Step& s, const float* grid, int64_t count, Corners& corners) {
  for (int64_t i = 0; i < count; ++i) {
    const AxisTaps x = axis_taps(grid[2 * i], s.columns, s.settings);
    const AxisTaps y = axis_taps(grid[2 * i + 1], s.rows, s.settings);
    for (size_t corner = 0; corner < 4; ++corner) {
      const size_t row = corner / 2, column = corner % 2, at = static_cast<size_t>(i);
      const bool inside = y.pixels[row] >= 0 && x.pixels[column] >= 0;
      corners.pixels[corner][at] =
          inside ? static_cast<int32_t>(y.pixels[row] * s.columns + x.pixels[column]) : -1;
      corners.weights[corner][at] = static_cast<float>(y.weights[row] * x.weights[column]);
    }
  }
}

void run(const Step& s, const StepArgs& args) {
  const int64_t chunks = (s.outputs + kPositions - 1) / kPositions;
  args.workers->for_each(s.images * chunks, [&](int64_t task, int thread) {
    auto& corners = *reinterpret_cast<Corners*>(args.scratch +
                                                static_cast<size_t>(thread) * args.scratch_stride);
    const int64_t image = task / chunks, first = task % chunks * kPositions;
    const int64_t count = std::min(kPositions, s.outputs - first);
    find_corners(s, static_cast<const float*>(args.inputs[1]) + (image * s.outputs + first) * 2,
                 count, corners);
    for (int64_t c = image * s.channels; c < (image + 1) * s.channels; ++c) {
      const float* x = static_cast<const float*>(args.inputs[0]) + c * s.rows * s.columns;
      float* y = static_cast<float*>(args.outputs[0]) + c * s.outputs + first;
      for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        float sum = 0.0f;
        for (size_t corner = 0; corner < 4; ++corner) {
          const int32_t pixel = corners.pixels[corner][i];
          sum += pixel < 0 ? 0.0f : x[pixel] * corners.weights[corner][i];
        }
        y[i] = sum;
      }
    }
  });
}

void plan(PlanContext& context) {
  const Shape& x = context.input(0).shape;
  const Settings settings = settings_of(context);
  if (context.input(0).dtype != DType::kFloat32 || context.input(1).dtype != DType::kFloat32 ||
      x.rank() != 4 || settings.mode != Mode::kLinear || context.output(0).shape.elements() == 0)
    return;
  context.scratch(sizeof(Corners));
  context.emit(run, Step{.settings = settings,
                         .images = x[0],
                         .channels = x[1],
                         .rows = x[2],
                         .columns = x[3],
                         .outputs = context.output(0).shape.elements(2, 4)});
}

SANDERLING_OPERATOR(grid_sample)({.name = "GridSample",
                                  .since_opset = 16,
                                  .min_inputs = 2,
                                  .max_inputs = 2,
                                  .infer = infer,
                                  .reference = reference,
                                  .plan = plan});

}  // namespace
}  // namespace sanderling
