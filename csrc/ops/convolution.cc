#include "ops/convolution.h"

namespace sanderling {
namespace {

// Weights are [O, C/group, spatial...] in either layout.
std::vector<int64_t> kernel_extents(const InferContext& context) {
  const Shape& weights = context.input(1).shape;
  return {weights.dims().begin() + 2, weights.dims().end()};
}

}  // namespace

bool ConvGeometry::pointwise() const {
  return taps() == 1 && stride_y == 1 && stride_x == 1 && pad_top == 0 && pad_left == 0 &&
         out_height == height && out_width == width;
}

void infer_convolution(InferContext& context, DType dtype) {
  const Shape& x = context.input(0).shape;
  const Shape& weights = context.input(1).shape;
  const int64_t groups = context.attributes().integer("group", 1);
  if (x.rank() < 3 || weights.rank() != x.rank())
    context.error("the weight has shape ", weights.to_string(), ", the input ", x.to_string(),
                  "; both need the same rank of 3 or more");
  if (groups < 1 || weights[0] % groups != 0)
    context.error("group is ", groups, ", which does not divide the ", weights[0], " output channels");
  if (weights[1] > Shape::kMaxElements / groups || weights[1] * groups != channels_of(context))
    context.error("the weight has ", weights[1], " input channels in each of ", groups,
                  " groups, the input has ", channels_of(context), " channels: ", x.to_string(),
                  ". Check that the layout is NCHW");
  if (const auto given = context.attributes().integers("kernel_shape", kernel_extents(context));
      given != kernel_extents(context))
    context.error("kernel_shape ", Shape(given).to_string(), " differs from the weight's ",
                  weights.to_string());
  if (context.has_input(2) && context.input(2).shape != Shape{weights[0]})
    context.error("the bias has shape ", context.input(2).shape.to_string(), ", expected [", weights[0], "]");
  const Window window = convolution_window(context);
  context.set_output(0, dtype, image_shape(context, weights[0], window.output));
}

Window convolution_window(const InferContext& context) {
  return window_of(context, spatial_extents(context), kernel_extents(context));
}

int64_t convolution_macs(const InferContext& context, const TensorType& output) {
  const Shape& weights = context.input(1).shape;
  return output.shape.elements() * weights.elements(1, weights.rank());
}

ConvGeometry conv_geometry(const InferContext& context) {
  const Window window = convolution_window(context);
  const size_t last = window.axes() - 1;
  const bool flat = window.axes() == 1;
  const auto first = [&](const std::vector<int64_t>& values, int64_t otherwise) {
    return flat ? otherwise : values[0];
  };
  return {.batch = context.input(0).shape[0],
          .height = first(window.input, 1),
          .width = window.input[last],
          .channels = channels_of(context),
          .out_height = first(window.output, 1),
          .out_width = window.output[last],
          .out_channels = context.input(1).shape[0],
          .groups = context.attributes().integer("group", 1),
          .kernel_height = first(window.kernel, 1),
          .kernel_width = window.kernel[last],
          .stride_y = first(window.stride, 1),
          .stride_x = window.stride[last],
          .dilation_y = first(window.dilation, 1),
          .dilation_x = window.dilation[last],
          .pad_top = first(window.pad_begin, 0),
          .pad_left = window.pad_begin[last]};
}

}  // namespace sanderling
