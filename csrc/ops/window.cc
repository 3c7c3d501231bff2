#include "ops/window.h"

#include <algorithm>

namespace sanderling {
namespace {

int64_t product(const std::vector<int64_t>& extents) {
  int64_t result = 1;
  for (int64_t extent : extents) result *= extent;
  return result;
}

// Far above any real model; keeps the arithmetic below from overflowing.
constexpr int64_t kMaxAttribute = int64_t{1} << 31;

std::vector<int64_t> read(const InferContext& context, const char* name, size_t count,
                          int64_t otherwise, int64_t least) {
  std::vector<int64_t> values =
      context.attributes().integers(name, std::vector<int64_t>(count, otherwise));
  if (values.size() != count)
    context.error(name, " has ", values.size(), " numbers, expected ", count);
  for (int64_t value : values)
    if (value < least || value > kMaxAttribute)
      context.error(name, " has ", value, ", expected ", least, " or more");
  return values;
}

}  // namespace

int64_t Window::output_elements() const { return product(output); }
int64_t Window::kernel_elements() const { return product(kernel); }

Window window_of(const InferContext& context, std::span<const int64_t> input,
                 std::span<const int64_t> kernel) {
  const size_t axes = input.size();
  if (kernel.size() != axes)
    context.error("the kernel has ", kernel.size(), " spatial axes, the input ", axes);
  Window window;
  window.input.assign(input.begin(), input.end());
  window.kernel.assign(kernel.begin(), kernel.end());
  window.stride = read(context, "strides", axes, 1, 1);
  window.dilation = read(context, "dilations", axes, 1, 1);
  const std::vector<int64_t> pads = read(context, "pads", 2 * axes, 0, 0);
  const std::string auto_pad = context.attributes().text("auto_pad", "NOTSET");
  const bool ceil = context.attributes().integer("ceil_mode", 0) != 0;
  for (size_t a = 0; a < axes; ++a) {
    if (kernel[a] < 1 || kernel[a] > kMaxAttribute)
      context.error("kernel extent ", kernel[a], ", expected 1 or more");
    const int64_t stride = window.stride[a];
    const int64_t reach = (kernel[a] - 1) * window.dilation[a] + 1;
    int64_t begin = pads[a], end = pads[axes + a], output = 0;
    if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
      output = (input[a] + stride - 1) / stride;
      const int64_t total = std::max<int64_t>((output - 1) * stride + reach - input[a], 0);
      begin = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      end = total - begin;
    } else {
      if (auto_pad == "VALID") begin = end = 0;
      if (auto_pad != "VALID" && auto_pad != "NOTSET")
        context.error("auto_pad is '", auto_pad, "', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER");
      const int64_t room = input[a] + begin + end - reach;
      if (room < 0)
        context.error("a kernel that reaches over ", reach, " does not fit an input of ", input[a],
                      " with pads ", begin, " and ", end);
      output = (room + (ceil ? stride - 1 : 0)) / stride + 1;
      // A window that would start beyond the input and its left pad is not counted.
      if (ceil && (output - 1) * stride >= input[a] + begin) --output;
    }
    window.pad_begin.push_back(begin);
    window.pad_end.push_back(end);
    window.output.push_back(output);
  }
  return window;
}

bool is_channels_last(const InferContext& context) {
  const std::string& op = context.node().op;
  return op == "QConv" || op == "QAveragePool" ||
         context.attributes().integer("channels_last", 0) != 0;
}

std::vector<int64_t> spatial_extents(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  if (shape.rank() < 3)
    context.error("input 0 has shape ", shape.to_string(), ", expected at least one spatial axis");
  const int64_t first = is_channels_last(context) ? 1 : 2;
  return {shape.dims().begin() + first, shape.dims().begin() + first + shape.rank() - 2};
}

Shape image_shape(const InferContext& context, int64_t channels, std::span<const int64_t> spatial) {
  std::vector<int64_t> dims{context.input(0).shape[0]};
  dims.insert(dims.end(), spatial.begin(), spatial.end());
  dims.insert(is_channels_last(context) ? dims.end() : dims.begin() + 1, channels);
  try {
    return Shape(std::move(dims));
  } catch (const Error& problem) {
    context.error(problem.what());
  }
}

int64_t channels_of(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  return is_channels_last(context) ? shape[shape.rank() - 1] : shape[1];
}

std::vector<int64_t> position_of(const Window& window, int64_t output_pixel) {
  std::vector<int64_t> at(window.axes());
  for (size_t axis = window.axes(); axis-- > 0;) {
    at[axis] = output_pixel % window.output[axis];
    output_pixel /= window.output[axis];
  }
  return at;
}

}  // namespace sanderling
