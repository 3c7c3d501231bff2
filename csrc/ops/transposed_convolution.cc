#include "ops/transposed_convolution.h"

#include <algorithm>

#include "ops/spatial_attributes.h"

namespace sanderling {
namespace {

// Attribute output_shape: the spatial extents; batch and channels may stand before them.
std::vector<int64_t> given_outputs(const InferContext& context, size_t count) {
  std::vector<int64_t> outputs = context.attributes().integers("output_shape", {});
  if (outputs.size() == count + 2) outputs.erase(outputs.begin(), outputs.begin() + 2);
  if (outputs.size() != count)
    context.error("output_shape has ", outputs.size(), " numbers, expected ", count, " for input ",
                  context.input(0).shape.to_string());
  for (int64_t output : outputs)
    if (output < 0 || output > Shape::kMaxElements)
      context.error("output_shape has ", output, ", expected 0 to ", Shape::kMaxElements);
  return outputs;
}

// What the positions cover beyond the output is cut off. SAME_UPPER cuts the odd one at the end,
// all else at the beginning: opset 1 says it the other way round, but ONNX Runtime does this in
// every opset.
void share_padding(WindowAxis& axis, int64_t covered, bool upper) {
  const int64_t total = std::max<int64_t>(covered - axis.input, 0);
  axis.pad_begin = upper ? total / 2 : total - total / 2;
  axis.pad_end = total - axis.pad_begin;
}

}  // namespace

Window transposed_window(const InferContext& context) {
  const std::vector<int64_t> extents = spatial_extents(context);
  const size_t count = extents.size();
  const Shape& weights = context.input(1).shape;
  const std::vector<int64_t> kernel(weights.dims().begin() + 2, weights.dims().end());
  const auto strides = spatial_integers(context, "strides", count, 1, 1);
  const auto dilations = spatial_integers(context, "dilations", count, 1, 1);
  const auto pads = spatial_integers(context, "pads", 2 * count, 0, 0);
  const auto more = spatial_integers(context, "output_padding", count, 0, 0);
  const std::string auto_pad = context.attributes().text("auto_pad", "NOTSET");
  const bool same = auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER";
  if (!same && auto_pad != "NOTSET" && auto_pad != "VALID")
    context.error("auto_pad is '", auto_pad, "', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER");
  const bool given = context.attributes().has("output_shape");
  const std::vector<int64_t> outputs =
      given ? given_outputs(context, count) : std::vector<int64_t>(count);
  Window window;
  for (size_t a = 0; a < count; ++a) {
    if (kernel[a] < 1 || kernel[a] > kMaxSpatialNumber || extents[a] > kMaxSpatialNumber)
      context.error("kernel extent ", kernel[a], " or input extent ", extents[a],
                    " is outside 1 to ", kMaxSpatialNumber);
    WindowAxis axis{
        .kernel = kernel[a], .stride = strides[a], .dilation = dilations[a], .output = extents[a]};
    // Below 2^62 each, so the sum cannot overflow.
    const int64_t covered =
        std::max<int64_t>(extents[a] - 1, 0) * strides[a] + axis.reach() + more[a];
    if (given || same) {
      axis.input = given ? outputs[a] : extents[a] * strides[a];
      share_padding(axis, covered, auto_pad == "SAME_UPPER");
    } else {
      axis.pad_begin = auto_pad == "VALID" ? 0 : pads[a];
      axis.pad_end = auto_pad == "VALID" ? 0 : pads[count + a];
      axis.input = covered - axis.pad_begin - axis.pad_end;
      if (axis.input < 0)
        context.error("pads of ", axis.pad_begin, " and ", axis.pad_end, " cut more than the ",
                      covered, " pixels of axis ", a + 2);
    }
    window.axes.push_back(axis);
  }
  return window;
}

TransposedConvolution transposed_convolution(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  const Shape& weights = context.input(1).shape;
  const int64_t groups = context.attributes().integer("group", 1);
  return {.window = transposed_window(context),
          .images = x[0],
          .groups = groups,
          .group_inputs = x[1] / groups,
          .group_outputs = weights[1]};
}

}  // namespace sanderling
