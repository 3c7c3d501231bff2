#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "ops/axes.h"
#include "ops/resampling.h"
#include "ops/spatial_attributes.h"

namespace sanderling {
namespace {

// Before it, inputs are x and scales, and there is but one way to round.
constexpr int64_t kRoiSince = 11;

Interpolation interpolation_of(const InferContext& context) {
  const std::string mode = context.attributes().text("mode", "nearest");
  if (mode == "nearest") return Interpolation::kNearest;
  if (mode == "linear") return Interpolation::kLinear;
  if (mode == "cubic" && context.node().opset >= kRoiSince) return Interpolation::kCubic;
  context.error("mode is '", mode, "', opset ", context.node().opset, " has nearest, linear",
                context.node().opset >= kRoiSince ? " and cubic" : "");
}

Coordinates coordinates_of(const InferContext& context) {
  if (context.node().opset < kRoiSince) return Coordinates::kAsymmetric;
  const std::string mode =
      context.attributes().text("coordinate_transformation_mode", "half_pixel");
  if (mode == "half_pixel") return Coordinates::kHalfPixel;
  if (mode == "half_pixel_symmetric") return Coordinates::kHalfPixelSymmetric;
  if (mode == "pytorch_half_pixel") return Coordinates::kPytorchHalfPixel;
  if (mode == "align_corners") return Coordinates::kAlignCorners;
  if (mode == "asymmetric") return Coordinates::kAsymmetric;
  if (mode == "tf_half_pixel_for_nn") return Coordinates::kTfHalfPixelForNearest;
  if (mode == "tf_crop_and_resize") return Coordinates::kCropAndResize;
  context.error("coordinate_transformation_mode is '", mode,
                "', expected half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners, "
                "asymmetric, tf_half_pixel_for_nn or tf_crop_and_resize");
}

Rounding rounding_of(const InferContext& context) {
  if (context.node().opset < kRoiSince) return Rounding::kOutward;
  const std::string mode = context.attributes().text("nearest_mode", "round_prefer_floor");
  if (mode == "round_prefer_floor") return Rounding::kPreferFloor;
  if (mode == "round_prefer_ceil") return Rounding::kPreferCeil;
  if (mode == "floor") return Rounding::kFloor;
  if (mode == "ceil") return Rounding::kCeil;
  context.error("nearest_mode is '", mode,
                "', expected round_prefer_floor, round_prefer_ceil, floor or ceil");
}

// Which axes roi, scales and sizes speak of, in their order.
std::vector<int64_t> axes_of(const InferContext& context) {
  const int64_t rank = context.input(0).shape.rank();
  std::vector<int64_t> axes(static_cast<size_t>(rank));
  std::iota(axes.begin(), axes.end(), int64_t{0});
  if (!context.attributes().has("axes")) return axes;
  axes = context.attributes().integers("axes", {});
  checked_axes(context, axes, rank);
  for (int64_t& axis : axes) axis = checked_axis(context, axis, rank);
  return axes;
}

// Input i as numbers; none where it is left out or empty, which older exporters write for that.
std::vector<float> floats_of(const InferContext& context, size_t input) {
  if (!context.has_input(input) || context.input(input).shape.elements() == 0) return {};
  require_dtype(context, input, {DType::kFloat32, DType::kFloat64});
  const KnownTensor tensor = context.constant(input);
  if (tensor.dtype() == DType::kFloat32)
    return {tensor.data<float>().begin(), tensor.data<float>().end()};
  std::vector<float> values;
  for (double value : tensor.data<double>()) values.push_back(static_cast<float>(value));
  return values;
}

void check_count(const InferContext& context, const char* what, size_t count, size_t expected) {
  if (count != expected)
    context.error(what, " has ", count, " numbers, expected ", expected, " for input ",
                  context.input(0).shape.to_string());
}

// Whether align_corners puts the last input element at input * scale - 1 where that is a fraction,
// or at the last element of the output. The text of every version says the latter ("the length of
// the resized tensor"), and so do PyTorch and ONNX Runtime; onnx's reference, and with it the
// cases of opset 19, say the former. What PyTorch's exporters write is known by nearest_mode, which
// they give to every Resize although it means nothing to one that interpolates.
bool aligns_fractions(const InferContext& context, const Resampling& resampling) {
  constexpr int64_t kFractionsSince = 19;
  return resampling.interpolation != Interpolation::kNearest &&
         context.node().opset >= kFractionsSince && !context.attributes().has("nearest_mode");
}

void scale_axes(const InferContext& context, const std::vector<int64_t>& axes,
                const std::vector<float>& scales, Resampling& resampling) {
  check_count(context, "scales", scales.size(), axes.size());
  const bool whole = resampling.coordinates == Coordinates::kAlignCorners &&
                     !aligns_fractions(context, resampling);
  for (size_t i = 0; i < axes.size(); ++i) {
    ResampledAxis& axis = resampling.axes[static_cast<size_t>(axes[i])];
    axis = scaled_axis(context, axis.input, scales[i]);
    if (whole) axis.width = static_cast<double>(axis.output);
  }
}

void size_axes(const InferContext& context, const std::vector<int64_t>& axes,
               const std::vector<int64_t>& sizes, Resampling& resampling) {
  check_count(context, "sizes", sizes.size(), axes.size());
  double smallest = std::numeric_limits<double>::infinity(), largest = 0.0;
  for (size_t i = 0; i < axes.size(); ++i) {
    ResampledAxis& axis = resampling.axes[static_cast<size_t>(axes[i])];
    axis = sized_axis(context, axis.input, sizes[i]);
    smallest = std::min(smallest, axis.scale);
    largest = std::max(largest, axis.scale);
  }
  const std::string policy = context.attributes().text("keep_aspect_ratio_policy", "stretch");
  if (policy == "stretch" || axes.empty()) return;
  if (policy != "not_larger" && policy != "not_smaller")
    context.error("keep_aspect_ratio_policy is '", policy,
                  "', expected stretch, not_larger or not_smaller");
  const double scale = policy == "not_larger" ? smallest : largest;
  for (int64_t which : axes) {
    ResampledAxis& axis = resampling.axes[static_cast<size_t>(which)];
    if (axis.input == 0) continue;
    const double width = scale * static_cast<double>(axis.input);
    if (!(width < static_cast<double>(Shape::kMaxElements)))
      context.error("sizes ask for an extent of ", width, ", the limit is ", Shape::kMaxElements);
    axis.output = static_cast<int64_t>(std::floor(width + 0.5));
    axis.scale = scale;
    axis.width = static_cast<double>(axis.output);
  }
}

void read_roi(const InferContext& context, const std::vector<int64_t>& axes,
              Resampling& resampling) {
  const std::vector<float> roi = floats_of(context, 1);
  check_count(context, "roi", roi.size(), 2 * axes.size());
  for (size_t i = 0; i < axes.size(); ++i) {
    ResampledAxis& axis = resampling.axes[static_cast<size_t>(axes[i])];
    axis.begin = static_cast<double>(roi[i]);
    axis.end = static_cast<double>(roi[axes.size() + i]);
  }
}

Resampling resampling_of(const InferContext& context) {
  const Attributes& attributes = context.attributes();
  Resampling resampling{
      .interpolation = interpolation_of(context),
      .coordinates = coordinates_of(context),
      .rounding = rounding_of(context),
      .antialias = attributes.integer("antialias", 0) != 0,
      .exclude_outside = attributes.integer("exclude_outside", 0) != 0,
      .cubic_a = finite_number(context, "cubic_coeff_a", -0.75f),
      .extrapolation = attributes.number("extrapolation_value", 0.0f),
  };
  if (resampling.antialias && resampling.interpolation == Interpolation::kNearest)
    context.error("antialias is 1 with mode 'nearest', which has nothing to smooth");
  for (int64_t extent : context.input(0).shape.dims())
    resampling.axes.push_back({.input = extent, .output = extent});
  const std::vector<int64_t> axes = axes_of(context);
  const bool has_roi = context.node().opset >= kRoiSince;
  const std::vector<float> scales = floats_of(context, has_roi ? 2 : 1);
  const bool has_sizes = has_roi && context.has_input(3) && context.input(3).shape.elements() > 0;
  // A scalar has no axes, so that an empty list is all that it needs.
  if (!scales.empty() && has_sizes)
    context.error("has both scales and sizes, expected one of them");
  if (!scales.empty())
    scale_axes(context, axes, scales, resampling);
  else if (has_sizes)
    size_axes(context, axes, constant_integers(context, 3), resampling);
  else if (!axes.empty())
    context.error("has neither scales nor sizes, expected one of them");
  if (resampling.coordinates == Coordinates::kCropAndResize) read_roi(context, axes, resampling);
  return resampling;
}

void infer(InferContext& context) { infer_resampling(context, resampling_of(context)); }

void reference(const ReferenceContext& context) {
  reference_resampling(context, resampling_of(context));
}

void plan(PlanContext& context) { plan_resampling(context, resampling_of(context)); }

SANDERLING_OPERATOR(resize)({.name = "Resize",
                             .since_opset = 10,
                             .min_inputs = 1,
                             .max_inputs = 4,
                             .infer = infer,
                             .reference = reference,
                             .plan = plan,
                             .plans_empty_inputs = true});  // roi is, in most models

}  // namespace
}  // namespace sanderling
