#include <algorithm>
#include <cmath>
#include <string>

#include "ops/spatial_attributes.h"

namespace sanderling {
namespace {

// Before it, coordinates are not shifted by half a pixel.
constexpr int64_t kHalfPixelSince = 16;
// Samples along an axis of one bin; a region of a real image has a few hundred. Data must not make
// a device count for ever.
constexpr int64_t kMaxSamples = 1 << 14;

struct Settings {
  int64_t height, width, sampling;
  double scale;
  bool maximum, half_pixel;
};

Settings settings_of(const InferContext& context) {
  std::string mode = context.attributes().text("mode", "avg");
  const bool newer = context.node().opset >= kHalfPixelSince;
  const std::string transformation = context.attributes().text(
      "coordinate_transformation_mode", newer ? "half_pixel" : "output_half_pixel");
  if (mode != "avg" && mode != "max") context.error("mode is '", mode, "', expected avg or max");
  if (transformation != "half_pixel" && transformation != "output_half_pixel")
    context.error("coordinate_transformation_mode is '", transformation,
                  "', expected half_pixel or output_half_pixel");
  return {.height = bounded_integer(context, "output_height", 1, 1, kMaxSpatialNumber),
          .width = bounded_integer(context, "output_width", 1, 1, kMaxSpatialNumber),
          .sampling = bounded_integer(context, "sampling_ratio", 0, 0, kMaxSamples),
          .scale = finite_number(context, "spatial_scale", 1.0f),
          .maximum = mode == "max",
          .half_pixel = transformation == "half_pixel"};
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, 1);
  require_dtype(context, 2, {DType::kInt64});
  const Settings s = settings_of(context);
  const Shape& x = context.input(0).shape;
  const Shape& rois = context.input(1).shape;
  if (x.rank() != 4) context.error("x has shape ", x.to_string(), ", expected [N, C, H, W]");
  if (rois.rank() != 2 || rois[1] != 4)
    context.error("rois has shape ", rois.to_string(), ", expected [regions, 4]");
  if (context.input(2).shape != Shape{rois[0]})
    context.error("batch_indices has shape ", context.input(2).shape.to_string(), ", expected [",
                  rois[0], "]");
  Shape shape = checked_shape(context, {rois[0], x[1], s.height, s.width});
  if (shape.elements() > 0 && x.elements() == 0)
    context.error("x has shape ", x.to_string(), ", which has no pixels to sample");
  context.set_output(0, context.input(0).dtype, std::move(shape));
}

// One axis of a region: bins of `bin` pixels from `start` on, each sampled `samples` times.
struct Side {
  double start, bin;
  int64_t samples;

  double at(int64_t index, int64_t sample) const {
    return start + static_cast<double>(index) * bin +
           (static_cast<double>(sample) + 0.5) * bin / static_cast<double>(samples);
  }
};

Side side_of(const InferContext& context, const Settings& s, double begin, double end,
             int64_t bins) {
  const double offset = s.half_pixel ? 0.5 : 0.0;
  const double start = begin * s.scale - offset;
  double length = end * s.scale - offset - start;
  if (!s.half_pixel) length = std::max(length, 1.0);
  const double bin = length / static_cast<double>(bins);
  if (!(bin <= static_cast<double>(kMaxSamples)) || !std::isfinite(start) || !std::isfinite(bin))
    context.error("a region from ", begin, " to ", end, " is not finite, or larger than ",
                  kMaxSamples, " pixels per bin");
  const int64_t samples =
      s.sampling > 0 ? s.sampling : static_cast<int64_t>(std::ceil(std::max(bin, 0.0)));
  return {start, bin, samples};
}

// The two pixels around a position on an axis, and their weights; none where it is off the image.
struct Around {
  bool outside;
  int64_t low, high;
  double low_weight, high_weight;
};

Around around(double x, int64_t extent) {
  if (x < -1.0 || x > static_cast<double>(extent)) return {true, 0, 0, 0.0, 0.0};
  x = std::max(x, 0.0);
  const auto low = static_cast<int64_t>(x);
  if (low >= extent - 1) return {false, extent - 1, extent - 1, 1.0, 0.0};
  const double weight = x - static_cast<double>(low);
  return {false, low, low + 1, 1.0 - weight, weight};
}

// The average of a bin's samples, or their largest weighted corner: so ONNX defines max.
template <typename T>
double pool(const Settings& s, const T* x, int64_t rows, int64_t columns, const Side& vertical,
            const Side& horizontal, int64_t row, int64_t column) {
  double sum = 0.0, largest = 0.0;
  bool first = true;
  for (int64_t i = 0; i < vertical.samples; ++i) {
    const Around y = around(vertical.at(row, i), rows);
    for (int64_t j = 0; j < horizontal.samples; ++j) {
      const Around z = around(horizontal.at(column, j), columns);
      double corners[4] = {};
      if (!y.outside && !z.outside) {
        const auto pixel = [&](int64_t r, int64_t c) {
          return static_cast<double>(x[r * columns + c]);
        };
        corners[0] = y.low_weight * z.low_weight * pixel(y.low, z.low);
        corners[1] = y.low_weight * z.high_weight * pixel(y.low, z.high);
        corners[2] = y.high_weight * z.low_weight * pixel(y.high, z.low);
        corners[3] = y.high_weight * z.high_weight * pixel(y.high, z.high);
      }
      const double sample = *std::max_element(corners, corners + 4);
      largest = first ? sample : std::max(largest, sample);
      first = false;
      sum += corners[0] + corners[1] + corners[2] + corners[3];
    }
  }
  if (s.maximum) return largest;
  return sum / static_cast<double>(std::max<int64_t>(vertical.samples * horizontal.samples, 1));
}

template <typename T>
void align(const ReferenceContext& context) {
  const Settings s = settings_of(context);
  const Shape& x = context.input(0).shape;
  T* y = context.out<T>(0);
  for (int64_t region = 0; region < context.input(1).shape[0]; ++region) {
    const int64_t image = context.in<int64_t>(2)[region];
    if (image < 0 || image >= x[0])
      context.error("batch index ", image, " is outside [0, ", x[0], ")");
    const T* roi = context.in<T>(1) + region * 4;
    const auto edge = [&](int64_t i) { return static_cast<double>(roi[i]); };
    const Side horizontal = side_of(context, s, edge(0), edge(2), s.width);
    const Side vertical = side_of(context, s, edge(1), edge(3), s.height);
    for (int64_t c = 0; c < x[1]; ++c) {
      const T* plane = context.in<T>(0) + (image * x[1] + c) * x[2] * x[3];
      for (int64_t i = 0; i < s.height; ++i)
        for (int64_t j = 0; j < s.width; ++j)
          *y++ = static_cast<T>(pool(s, plane, x[2], x[3], vertical, horizontal, i, j));
    }
  }
}

void reference(const ReferenceContext& context) {
  if (context.output(0).shape.elements() == 0) return;
  if (context.input(0).dtype == DType::kFloat32)
    align<float>(context);
  else
    align<double>(context);
}

SANDERLING_OPERATOR(roi_align)({.name = "RoiAlign",
                                .since_opset = 10,
                                .min_inputs = 3,
                                .max_inputs = 3,
                                .infer = infer,
                                .reference = reference});

}  // namespace
}  // namespace sanderling
