#include "ops/convolution.h"

namespace sanderling {
namespace {

// Weights are [O, C/group, spatial...] in either layout.
std::vector<int64_t> kernel_extents(const InferContext& context, size_t weights_input) {
  const Shape& weights = context.input(weights_input).shape;
  return {weights.dims().begin() + 2, weights.dims().end()};
}

std::string list(const std::vector<int64_t>& numbers) {
  std::string text;
  for (int64_t number : numbers) text += cat(text.empty() ? "" : ", ", number);
  return "[" + text + "]";
}

}  // namespace

bool ConvGeometry::pointwise() const {
  for (const WindowAxis& axis : grid.axes)
    if (axis.kernel != 1 || axis.stride != 1 || axis.output != axis.input || axis.pad_begin != 0)
      return false;
  return true;
}

void infer_convolution(InferContext& context, DType dtype, size_t weights_input, size_t bias) {
  const Shape& x = context.input(0).shape;
  const Shape& weights = context.input(weights_input).shape;
  const int64_t groups = context.attributes().integer("group", 1);
  if (x.rank() < 3 || weights.rank() != x.rank())
    context.error("the weight has shape ", weights.to_string(), ", the input ",
                  given_shape(context), "; both need the same rank of 3 or more");
  if (groups < 1 || weights[0] % groups != 0)
    context.error("group is ", groups, ", which does not divide the ", weights[0],
                  " output channels");
  // Divided, not multiplied: a file may say any number of groups.
  if (channels_of(context) % groups != 0 || channels_of(context) / groups != weights[1])
    context.error("the weight ", weights.to_string(), " has ", weights[1],
                  " input channels in each of ", groups, " groups, the input ",
                  given_shape(context), " has ", channels_of(context),
                  " channels. Check that the layout is NCHW");
  const std::vector<int64_t> kernel = kernel_extents(context, weights_input);
  if (const auto given = context.attributes().integers("kernel_shape", kernel); given != kernel)
    context.error("kernel_shape is ", list(given), ", the weight has ", list(kernel));
  if (context.has_input(bias) && context.input(bias).shape != Shape{weights[0]})
    context.error("the bias has shape ", context.input(bias).shape.to_string(), ", expected [",
                  weights[0], "]");
  context.set_output(0, dtype,
                     image_shape(context, weights[0], convolution_window(context, weights_input)));
}

Window convolution_window(const InferContext& context, size_t weights) {
  return window_of(context, spatial_extents(context), kernel_extents(context, weights));
}

int64_t convolution_macs(const InferContext& context, const TensorType& output) {
  const Shape& weights = context.input(1).shape;
  return output.shape.elements() * weights.elements(1, weights.rank());
}

ConvGeometry conv_geometry(const InferContext& context) {
  return {.grid = pixel_grid(context, convolution_window(context)),
          .out_channels = context.input(1).shape[0],
          .groups = context.attributes().integer("group", 1)};
}

}  // namespace sanderling
