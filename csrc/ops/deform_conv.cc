#include <algorithm>
#include <cmath>

#include "ops/spatial_attributes.h"
#include "ops/window.h"

namespace sanderling {
namespace {

Window window_of_kernel(const InferContext& context) {
  const Shape& weights = context.input(1).shape;
  const std::vector<int64_t> kernel(weights.dims().begin() + 2, weights.dims().end());
  return window_of(context, spatial_extents(context), kernel);
}

// [N, channels, spatial extents of the output...]
void require_map(const InferContext& context, size_t input, const char* what, int64_t channels,
                 const Window& window) {
  std::vector<int64_t> dims{context.input(0).shape[0], channels};
  for (const WindowAxis& axis : window.axes) dims.push_back(axis.output);
  const Shape expected = checked_shape(context, std::move(dims));
  if (context.input(input).shape != expected)
    context.error(what, " has shape ", context.input(input).shape.to_string(), ", expected ",
                  expected.to_string());
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  for (size_t i = 1; i < 5; ++i)
    if (context.has_input(i) || i < 3) require_same_dtype(context, 0, i);
  const Shape& x = context.input(0).shape;
  const Shape& weights = context.input(1).shape;
  const int64_t groups = context.attributes().integer("group", 1);
  const int64_t offset_groups = context.attributes().integer("offset_group", 1);
  if (x.rank() < 3 || weights.rank() != x.rank())
    context.error("the weight has shape ", weights.to_string(), ", the input ", x.to_string(),
                  "; both need the same rank of 3 or more");
  if (groups < 1 || weights[0] % groups != 0 || x[1] % groups != 0 || x[1] / groups != weights[1])
    context.error("group is ", groups, ", which does not divide the input ", x.to_string(),
                  " and the weight ", weights.to_string(), " alike");
  if (offset_groups < 1 || x[1] % offset_groups != 0)
    context.error("offset_group is ", offset_groups, ", which does not divide the ", x[1],
                  " input channels");
  const std::vector<int64_t> kernel(weights.dims().begin() + 2, weights.dims().end());
  if (context.attributes().integers("kernel_shape", kernel) != kernel)
    context.error("kernel_shape is not the kernel of the weight ", weights.to_string());
  const Window window = window_of_kernel(context);
  if (offset_groups > kMaxSpatialNumber || window.taps() > kMaxSpatialNumber)
    context.error("offset_group is ", offset_groups, " and the kernel has ", window.taps(),
                  " taps, the limit of each is ", kMaxSpatialNumber);
  const int64_t taps = offset_groups * window.taps();
  const auto axes = static_cast<int64_t>(window.axes.size());
  if (taps > Shape::kMaxElements / axes)
    context.error("offsets of ", taps, " taps are more than any tensor holds");
  require_map(context, 2, "offset", taps * axes, window);
  if (context.has_input(3) && context.input(3).shape != Shape{weights[0]})
    context.error("the bias has shape ", context.input(3).shape.to_string(), ", expected [",
                  weights[0], "]");
  if (context.has_input(4)) require_map(context, 4, "mask", taps, window);
  context.set_output(0, context.input(0).dtype, image_shape(context, weights[0], window));
}

// The linear interpolation of an image at a position per axis; what is outside is 0.
template <typename T>
double sample(const T* image, const Window& window, const double* at, size_t axis, int64_t pixel) {
  if (axis == window.axes.size()) return static_cast<double>(image[pixel]);
  const int64_t extent = window.axes[axis].input;
  if (!(at[axis] > -1.0 && at[axis] < static_cast<double>(extent))) return 0.0;
  const double below = std::floor(at[axis]), ratio = at[axis] - below;
  const auto low = static_cast<int64_t>(below);
  double sum = 0.0;
  if (low >= 0) sum += (1.0 - ratio) * sample(image, window, at, axis + 1, pixel * extent + low);
  if (low + 1 < extent && ratio > 0.0)
    sum += ratio * sample(image, window, at, axis + 1, pixel * extent + low + 1);
  return sum;
}

template <typename T>
class Columns {
 public:
  explicit Columns(const ReferenceContext& context)
      : context_(context),
        window_(window_of_kernel(context)),
        channels_(context.input(0).shape[1]),
        offset_groups_(context.attributes().integer("offset_group", 1)) {}

  const Window& window() const { return window_; }

  // What output pixel p of image n sees: [channels][taps].
  void gather(int64_t n, int64_t p, std::vector<double>& columns) const {
    const Position at = window_.position(p);
    const int64_t taps = window_.taps();
    for (int64_t c = 0; c < channels_; ++c) {
      const int64_t group = n * offset_groups_ + c / (channels_ / offset_groups_);
      const T* image = context_.in<T>(0) + (n * channels_ + c) * window_.inputs();
      for (int64_t tap = 0; tap < taps; ++tap) {
        double where[Shape::kMaxRank];
        const int64_t first = (group * taps + tap) * static_cast<int64_t>(window_.axes.size());
        int64_t rest = tap;
        for (size_t a = window_.axes.size(); a-- > 0; rest /= window_.axes[a].kernel) {
          const WindowAxis& axis = window_.axes[a];
          where[a] = static_cast<double>(axis.start(at[a]) + rest % axis.kernel * axis.dilation) +
                     map(2, first + static_cast<int64_t>(a), p);
        }
        const double weight = context_.has_input(4) ? map(4, group * taps + tap, p) : 1.0;
        columns[static_cast<size_t>(c * taps + tap)] = weight * sample(image, window_, where, 0, 0);
      }
    }
  }

 private:
  double map(size_t input, int64_t channel, int64_t p) const {
    return static_cast<double>(context_.in<T>(input)[channel * window_.outputs() + p]);
  }

  const ReferenceContext& context_;
  Window window_;
  int64_t channels_, offset_groups_;
};

template <typename T>
void convolve(const ReferenceContext& context) {
  const Columns<T> gatherer(context);
  const Shape& weights = context.input(1).shape;
  const int64_t outputs = weights[0], pixels = gatherer.window().outputs();
  const int64_t depth = weights.elements(1, weights.rank());
  const int64_t group_outputs = outputs / context.attributes().integer("group", 1);
  std::vector<double> columns(
      static_cast<size_t>(context.input(0).shape[1] * gatherer.window().taps()));
  for (int64_t n = 0; n < context.input(0).shape[0]; ++n) {
    for (int64_t p = 0; p < pixels; ++p) {
      gatherer.gather(n, p, columns);
      for (int64_t o = 0; o < outputs; ++o) {
        double sum = context.has_input(3) ? static_cast<double>(context.in<T>(3)[o]) : 0.0;
        const double* seen = columns.data() + o / group_outputs * depth;
        for (int64_t i = 0; i < depth; ++i)
          sum += seen[i] * static_cast<double>(context.in<T>(1)[o * depth + i]);
        context.out<T>(0)[(n * outputs + o) * pixels + p] = static_cast<T>(sum);
      }
    }
  }
}

void reference(const ReferenceContext& context) {
  if (context.output(0).shape.elements() == 0) return;
  if (context.input(0).dtype == DType::kFloat32)
    convolve<float>(context);
  else
    convolve<double>(context);
}

int64_t macs(const InferContext& context, const TensorType& output) {
  const Shape& weights = context.input(1).shape;
  return output.shape.elements() * weights.elements(1, weights.rank());
}

SANDERLING_OPERATOR(deform_conv)({.name = "DeformConv",
                                  .since_opset = 19,
                                  .min_inputs = 3,
                                  .max_inputs = 5,
                                  .infer = infer,
                                  .reference = reference,
                                  .macs = macs});

}  // namespace
}  // namespace sanderling
