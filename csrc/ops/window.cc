#include "ops/window.h"

#include <algorithm>

#include "ops/node_checks.h"

namespace sanderling {
namespace {

// Far above any real model; keeps the arithmetic below from overflowing.
constexpr int64_t kMaxAttribute = int64_t{1} << 31;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }  // a >= 0

std::vector<int64_t> read(const InferContext& context, const char* name, size_t count,
                          int64_t otherwise, int64_t least) {
  const std::vector<int64_t> values =
      context.attributes().integers(name, std::vector<int64_t>(count, otherwise));
  if (values.size() != count)
    context.error(name, " has ", values.size(), " numbers, expected ", count, " for input ",
                  given_shape(context));
  for (int64_t value : values)
    if (value < least || value > kMaxAttribute)
      context.error(name, " has ", value, ", expected ", least, " to ", kMaxAttribute);
  return values;
}

// Pads so that there are as many windows as strides in the input; SAME_UPPER puts an odd pad at the
// end.
void pad_same(WindowAxis& axis, bool upper) {
  axis.output = divide_up(axis.input, axis.stride);
  const int64_t total =
      std::max<int64_t>((axis.output - 1) * axis.stride + axis.reach() - axis.input, 0);
  axis.pad_begin = upper ? total / 2 : total - total / 2;
  axis.pad_end = total - axis.pad_begin;
}

void count_outputs(const InferContext& context, WindowAxis& axis, bool ceil) {
  const int64_t room = axis.input + axis.pad_begin + axis.pad_end - axis.reach();
  // Rounded up, a kernel that reaches past the end by less than a stride has one window.
  if (room < 0 && !(ceil && -room < axis.stride))
    context.error("a kernel of ", axis.kernel, " with dilation ", axis.dilation, " reaches over ",
                  axis.reach(), ", the input has ", axis.input, " and pads of ", axis.pad_begin,
                  " and ", axis.pad_end);
  axis.output = (ceil && room > 0 ? divide_up(room, axis.stride) : room / axis.stride) + 1;
  // A window that would start beyond the input and its first pad is not counted.
  if (ceil && (axis.output - 1) * axis.stride >= axis.input + axis.pad_begin) --axis.output;
}

int64_t first_spatial_axis(const InferContext& context) {
  return is_channels_last(context) ? 1 : 2;
}

}  // namespace

WindowAxis::Taps WindowAxis::taps(int64_t at) const {
  const int64_t first = start(at);
  const int64_t begin = first >= 0 ? 0 : divide_up(-first, dilation);
  const int64_t end = first >= input ? 0 : divide_up(input - first, dilation);
  return {std::min(begin, kernel), std::max(std::min(begin, kernel), std::min(end, kernel))};
}

int64_t WindowAxis::padded_taps(int64_t at) const {
  return std::min(kernel, divide_up(input + pad_end - start(at), dilation));
}

int64_t Window::inputs() const {
  int64_t product = 1;
  for (const WindowAxis& axis : axes) product *= axis.input;
  return product;
}

int64_t Window::outputs() const {
  int64_t product = 1;
  for (const WindowAxis& axis : axes) product *= axis.output;
  return product;
}

int64_t Window::taps() const {
  int64_t product = 1;
  for (const WindowAxis& axis : axes) product *= axis.kernel;
  return product;
}

Position Window::position(int64_t output) const {
  Position at{};
  for (size_t a = axes.size(); a-- > 0;) {
    at[a] = output % axes[a].output;
    output /= axes[a].output;
  }
  return at;
}

Window window_of(const InferContext& context, std::span<const int64_t> input,
                 std::span<const int64_t> kernel) {
  const size_t count = input.size();
  if (kernel.size() != count)
    context.error("the kernel has ", kernel.size(), " spatial axes, input ", given_shape(context),
                  " has ", count);
  const std::vector<int64_t> stride = read(context, "strides", count, 1, 1);
  const std::vector<int64_t> dilation = read(context, "dilations", count, 1, 1);
  const std::vector<int64_t> pads = read(context, "pads", 2 * count, 0, 0);
  const std::string auto_pad = context.attributes().text("auto_pad", "NOTSET");
  const bool ceil = context.attributes().integer("ceil_mode", 0) != 0;
  Window window;
  int64_t taps = 1;
  for (size_t a = 0; a < count; ++a) {
    if (kernel[a] < 1 || kernel[a] > kMaxAttribute || taps > Shape::kMaxElements / kernel[a])
      context.error("kernel extent ", kernel[a], " is not 1 or more, or the kernel has over ",
                    Shape::kMaxElements, " taps");
    taps *= kernel[a];
    WindowAxis axis{
        .input = input[a], .kernel = kernel[a], .stride = stride[a], .dilation = dilation[a]};
    if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
      pad_same(axis, auto_pad == "SAME_UPPER");
    } else if (auto_pad == "NOTSET" || auto_pad == "VALID") {
      axis.pad_begin = auto_pad == "VALID" ? 0 : pads[a];
      axis.pad_end = auto_pad == "VALID" ? 0 : pads[count + a];
      count_outputs(context, axis, ceil);
    } else {
      context.error("auto_pad is '", auto_pad,
                    "', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER");
    }
    window.axes.push_back(axis);
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
    context.error("input 0 has shape ", given_shape(context),
                  ", expected a batch, channels and at least one spatial axis");
  const auto first = shape.dims().begin() + first_spatial_axis(context);
  return {first, first + shape.rank() - 2};
}

int64_t channels_of(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  return is_channels_last(context) ? shape[shape.rank() - 1] : shape[1];
}

std::string given_shape(const InferContext& context) {
  std::vector<int64_t> dims = context.input(0).shape.dims();
  if (is_channels_last(context) && dims.size() > 2)
    std::rotate(dims.begin() + 1, dims.end() - 1, dims.end());
  return Shape(std::move(dims)).to_string();
}

Shape image_shape(const InferContext& context, int64_t channels, const Window& window) {
  std::vector<int64_t> dims{context.input(0).shape[0]};
  for (const WindowAxis& axis : window.axes) dims.push_back(axis.output);
  dims.insert(is_channels_last(context) ? dims.end() : dims.begin() + 1, channels);
  return checked_shape(context, std::move(dims));
}

bool has_pixel_grid(const InferContext& context) {
  const int64_t rank = context.input(0).shape.rank();
  return is_channels_last(context) && rank >= 3 && rank <= 5;
}

PixelGrid pixel_grid(const InferContext& context, const Window& window) {
  PixelGrid grid{.images = context.input(0).shape[0], .channels = channels_of(context), .axes = {}};
  std::copy(window.axes.begin(), window.axes.end(),
            grid.axes.end() - static_cast<int64_t>(window.axes.size()));
  return grid;
}

}  // namespace sanderling
