#include <algorithm>

#include "ops/activation_range.h"
#include "ops/node_checks.h"
#include "ops/transposed_convolution.h"

namespace sanderling {
namespace {

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
  const TransposedConvolution g = transposed_convolution(context);
  const T* bias = context.has_input(2) ? context.in<T>(2) : nullptr;
  const ActivationRange range = activation_range(context);
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
                   [&](double sum) { return range.clamp(static_cast<T>(sum)); });
  }
}

void reference(const ReferenceContext& context) {
  if (context.output(0).shape.elements() == 0) return;
  if (context.input(0).dtype == DType::kFloat32)
    transpose_convolve<float>(context);
  else
    transpose_convolve<double>(context);
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
                                     .plan = plan_transposed_convolution,
                                     .macs = macs});

}  // namespace
}  // namespace sanderling
