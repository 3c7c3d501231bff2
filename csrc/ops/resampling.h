// What Resize and Upsample share: where each output element looks in the input, axis by axis.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/operator.h"

namespace sanderling {

enum class Interpolation : uint8_t { kNearest, kLinear, kCubic };
enum class Coordinates : uint8_t {
  kHalfPixel,
  kHalfPixelSymmetric,
  kPytorchHalfPixel,
  kAlignCorners,
  kAsymmetric,
  kTfHalfPixelForNearest,
  kCropAndResize
};
enum class Rounding : uint8_t {
  kPreferFloor,
  kPreferCeil,
  kFloor,
  kCeil,
  kOutward  // before opset 11: up where the axis shrinks, else down
};

struct ResampledAxis {
  int64_t input = 1, output = 1;
  double scale = 1.0;
  double width = 1.0;             // of the output; may be what was rounded down to `output`
  double begin = 0.0, end = 1.0;  // of the region of interest, as a share of the input
};

// An output index as a weighted sum of input elements `first`, `first` + 1, ... of the axis; those
// before the axis and beyond it stand for its ends.
struct ResampledTaps {
  bool outside = false;  // shows the extrapolation value
  int64_t first = 0;
  std::vector<double> weights{};
};

struct Resampling {
  Interpolation interpolation = Interpolation::kNearest;
  Coordinates coordinates = Coordinates::kHalfPixel;
  Rounding rounding = Rounding::kPreferFloor;
  bool antialias = false, exclude_outside = false;
  double cubic_a = -0.75;
  float extrapolation = 0.0f;
  std::vector<ResampledAxis> axes{};

  // Whether every output index of the axis is its input index.
  bool is_identity(size_t axis) const;
  void taps(size_t axis, int64_t index, ResampledTaps& taps) const;
};

// The extent that an axis of `input` elements gets by `scale`; fails unless that is a number that
// an extent can be.
ResampledAxis scaled_axis(const InferContext& context, int64_t input, float scale);
// One axis to exactly `output` elements.
ResampledAxis sized_axis(const InferContext& context, int64_t input, int64_t output);

// Sets output 0; fails where there is nothing to interpolate.
void infer_resampling(InferContext& context, const Resampling& resampling);
void reference_resampling(const ReferenceContext& context, const Resampling& resampling);
// Where at most two neighbouring axes change; otherwise the reference runs.
void plan_resampling(PlanContext& context, const Resampling& resampling);

}  // namespace sanderling
