#include "ops/resampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/element_types.h"
#include "ops/node_checks.h"
#include "ops/saturated.h"

namespace sanderling {
namespace {

// The input position that an output index looks at. In float where it decides between pixels or
// what is outside, as ONNX Runtime and PyTorch compute it: what is a tie there must be one here.
template <typename F>
F position(Coordinates coordinates, const ResampledAxis& axis, int64_t index) {
  const auto x = static_cast<F>(index);
  const auto scale = static_cast<F>(axis.scale), width = static_cast<F>(axis.width);
  const auto last = static_cast<F>(axis.input - 1);
  const auto half = static_cast<F>(0.5);
  switch (coordinates) {
    case Coordinates::kHalfPixel:
      return (x + half) / scale - half;
    case Coordinates::kHalfPixelSymmetric:
      return static_cast<F>(axis.input) / 2 * (1 - static_cast<F>(axis.output) / width) +
             (x + half) / scale - half;
    case Coordinates::kPytorchHalfPixel:
      return axis.output > 1 ? (x + half) / scale - half : F{0};
    case Coordinates::kAlignCorners:
      return axis.output > 1 && width != 1 ? x * last / (width - 1) : F{0};
    case Coordinates::kAsymmetric:
      return x / scale;
    case Coordinates::kTfHalfPixelForNearest:
      return (x + half) / scale;
    case Coordinates::kCropAndResize: {
      const auto begin = static_cast<F>(axis.begin), end = static_cast<F>(axis.end);
      if (axis.output <= 1) return half * (begin + end) * last;
      return begin * last + x * (end - begin) * last / static_cast<F>(axis.output - 1);
    }
  }
  return F{0};
}

// A float position this close to the middle of two pixels is there, as ONNX Runtime has it.
constexpr float kTie = 1e-6f;

int64_t round(Rounding rounding, float x, bool shrinks) {
  const float below = std::floor(x);
  const bool tie = std::abs(x - below - 0.5f) < kTie;
  switch (rounding) {
    case Rounding::kPreferFloor:
      return static_cast<int64_t>(tie ? below : std::round(x));
    case Rounding::kPreferCeil:
      return static_cast<int64_t>(tie ? below + 1.0f : std::round(x));
    case Rounding::kFloor:
      return static_cast<int64_t>(below);
    case Rounding::kCeil:
      return static_cast<int64_t>(std::ceil(x));
    case Rounding::kOutward:
      return static_cast<int64_t>(shrinks ? std::ceil(x) : below);
  }
  return 0;
}

double linear_weight(double distance) { return std::max(0.0, 1.0 - std::abs(distance)); }

// Keys' cubic convolution.
double cubic_weight(double distance, double a) {
  const double x = std::abs(distance);
  if (x <= 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
  return 0.0;
}

void normalise(std::vector<double>& weights) {
  double sum = 0.0;
  for (double weight : weights) sum += weight;
  if (sum == 0.0) return;
  for (double& weight : weights) weight /= sum;
}

}  // namespace

bool Resampling::is_identity(size_t axis) const {
  const ResampledAxis& a = axes[axis];
  if (a.input != a.output || a.scale != 1.0) return false;
  if (coordinates == Coordinates::kCropAndResize) return a.begin == 0.0 && a.end == 1.0;
  return true;
}

void Resampling::taps(size_t axis, int64_t index, ResampledTaps& taps) const {
  const ResampledAxis& a = axes[axis];
  taps.outside = false;
  taps.first = index;
  taps.weights.assign(1, 1.0);
  if (is_identity(axis)) return;
  const auto last = static_cast<double>(a.input - 1);
  const bool decides =
      interpolation == Interpolation::kNearest || coordinates == Coordinates::kCropAndResize;
  const double x = decides ? static_cast<double>(position<float>(coordinates, a, index))
                           : position<double>(coordinates, a, index);
  // So that NaN, which a region of interest may hold, is outside too.
  if (coordinates == Coordinates::kCropAndResize && !(x >= 0.0 && x <= last)) {
    taps.outside = true;
    taps.first = 0;
    return;
  }
  if (interpolation == Interpolation::kNearest) {
    taps.first =
        std::clamp<int64_t>(round(rounding, static_cast<float>(x), a.scale < 1.0), 0, a.input - 1);
    return;
  }
  // Antialiasing stretches the filter by 1 / scale where the axis shrinks.
  const double shrink = antialias ? std::min(a.scale, 1.0) : 1.0;
  const double support = interpolation == Interpolation::kLinear ? 1.0 : 2.0;
  const auto start = static_cast<int64_t>(std::floor(-support / shrink)) + 1;
  taps.first = static_cast<int64_t>(std::floor(x)) + start;
  taps.weights.resize(static_cast<size_t>(2 - 2 * start));
  for (size_t t = 0; t < taps.weights.size(); ++t) {
    const double distance =
        (static_cast<double>(taps.first + static_cast<int64_t>(t)) - x) * shrink;
    taps.weights[t] = interpolation == Interpolation::kLinear ? linear_weight(distance)
                                                              : cubic_weight(distance, cubic_a);
  }
  if (antialias) normalise(taps.weights);
  if (!exclude_outside) return;
  for (size_t t = 0; t < taps.weights.size(); ++t) {
    const int64_t at = taps.first + static_cast<int64_t>(t);
    if (at < 0 || at >= a.input) taps.weights[t] = 0.0;
  }
  normalise(taps.weights);
}

ResampledAxis scaled_axis(const InferContext& context, int64_t input, float scale) {
  // In float, as ONNX's shape inference and ONNX Runtime have it: 10 * 0.7 is 7 there.
  const float width = static_cast<float>(input) * scale;
  if (!(scale > 0.0f) || !(width < static_cast<float>(Shape::kMaxElements)))
    context.error("a scale is ", scale, " for an extent of ", input,
                  ", expected a number above 0 that gives an extent below ", Shape::kMaxElements);
  return {.input = input,
          .output = static_cast<int64_t>(std::floor(width)),
          .scale = static_cast<double>(scale),
          .width = static_cast<double>(width)};
}

ResampledAxis sized_axis(const InferContext& context, int64_t input, int64_t output) {
  if (output < 0 || output > Shape::kMaxElements)
    context.error("a size is ", output, ", expected 0 to ", Shape::kMaxElements);
  const double scale = input == output ? 1.0
                       : input == 0    ? std::numeric_limits<double>::infinity()
                                       : static_cast<double>(output) / static_cast<double>(input);
  return {.input = input, .output = output, .scale = scale, .width = static_cast<double>(output)};
}

// So that the weights of one output element are some megabytes at most.
constexpr double kLeastAntialiased = 0x1p-20;

void infer_resampling(InferContext& context, const Resampling& resampling) {
  const TensorType& x = context.input(0);
  if (resampling.interpolation != Interpolation::kNearest ||
      resampling.coordinates == Coordinates::kCropAndResize) {
    require_dtype(context, 0,
                  {DType::kFloat32, DType::kFloat64, DType::kUInt8, DType::kInt8, DType::kUInt16,
                   DType::kInt16, DType::kUInt32, DType::kInt32, DType::kUInt64, DType::kInt64});
  }
  std::vector<int64_t> dims;
  for (const ResampledAxis& axis : resampling.axes) {
    if (axis.input == 0 && axis.output != 0)
      context.error("cannot make ", axis.output, " elements of the empty axis ", dims.size(),
                    " of ", x.to_string());
    if (resampling.antialias && axis.output > 0 && axis.scale < kLeastAntialiased)
      context.unsupported("antialias is 1 where axis ", dims.size(), " shrinks by ",
                          1.0 / axis.scale, "; the native engine takes up to ",
                          1.0 / kLeastAntialiased);
    dims.push_back(axis.output);
  }
  context.set_output(0, x.dtype, checked_shape(context, std::move(dims)));
}

namespace {

// Walks the output row-major; the taps of an axis are made anew only where its index changes.
class Walk {
 public:
  explicit Walk(const Resampling& resampling)
      : resampling_(resampling), taps_(resampling.axes.size()), strides_(taps_.size(), 1) {
    for (size_t a = taps_.size(); a-- > 1;)
      strides_[a - 1] = strides_[a] * resampling.axes[a].input;
  }

  // Calls body() for each output element.
  template <typename Body>
  void for_each(const Body& body, size_t axis = 0) {
    if (axis == taps_.size()) return body();
    for (int64_t i = 0; i < resampling_.axes[axis].output; ++i) {
      resampling_.taps(axis, i, taps_[axis]);
      for_each(body, axis + 1);
    }
  }

  bool outside() const {
    return std::any_of(taps_.begin(), taps_.end(), [](const auto& taps) { return taps.outside; });
  }

  // Where the only tap of each axis stands.
  int64_t place() const {
    int64_t at = 0;
    for (size_t a = 0; a < taps_.size(); ++a) at += taps_[a].first * strides_[a];
    return at;
  }

  template <typename T>
  double sum(const T* x, size_t axis = 0) const {
    if (axis == taps_.size()) return static_cast<double>(*x);
    const ResampledTaps& taps = taps_[axis];
    double sum = 0.0;
    for (size_t t = 0; t < taps.weights.size(); ++t) {
      const int64_t at = std::clamp<int64_t>(taps.first + static_cast<int64_t>(t), 0,
                                             resampling_.axes[axis].input - 1);
      sum += taps.weights[t] * this->sum(x + at * strides_[axis], axis + 1);
    }
    return sum;
  }

 private:
  const Resampling& resampling_;
  std::vector<ResampledTaps> taps_;
  std::vector<int64_t> strides_;
};

}  // namespace

void reference_resampling(const ReferenceContext& context, const Resampling& resampling) {
  const DType dtype = context.input(0).dtype;
  if (context.output(0).shape.elements() == 0) return;
  Walk walk(resampling);
  if (resampling.interpolation == Interpolation::kNearest &&
      resampling.coordinates != Coordinates::kCropAndResize) {
    visit_width(dtype, [&](auto zero) {
      using T = decltype(zero);
      const auto* x = static_cast<const T*>(context.raw_input(0));
      auto* y = static_cast<T*>(context.raw_output(0));
      walk.for_each([&] { *y++ = x[walk.place()]; });
    });
    return;
  }
  visit_number(dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* x = context.in<T>(0);
    T* y = context.out<T>(0);
    const T outside = saturated<T>(static_cast<double>(resampling.extrapolation));
    const bool nearest = resampling.interpolation == Interpolation::kNearest;
    walk.for_each([&] {
      *y++ = walk.outside() ? outside : nearest ? x[walk.place()] : saturated<T>(walk.sum(x));
    });
  });
}

}  // namespace sanderling
