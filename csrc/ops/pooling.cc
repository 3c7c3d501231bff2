#include "ops/pooling.h"

#include <algorithm>

namespace sanderling {
namespace {

bool is_global(const InferContext& context) {
  const std::string& op = context.node().op;
  return op == "GlobalAveragePool" || op == "GlobalMaxPool" || op == "GlobalLpPool" ||
         context.attributes().integer("global", 0) != 0;
}

}  // namespace

Window pool_window(const InferContext& context) {
  const std::vector<int64_t> input = spatial_extents(context);
  Window window;
  if (is_global(context)) {
    for (int64_t extent : input) window.axes.push_back({.input = extent, .kernel = extent});
    return window;
  }
  if (!context.attributes().has("kernel_shape"))
    context.error("attribute kernel_shape is required and missing");
  window = window_of(context, input, context.attributes().integers("kernel_shape", {}));
  for (const WindowAxis& axis : window.axes)
    if (axis.pad_begin >= axis.reach() || axis.pad_end >= axis.reach())
      context.error("pads of ", axis.pad_begin, " and ", axis.pad_end,
                    ", where the kernel reaches over ", axis.reach(),
                    ": a window would see nothing but padding");
  return window;
}

void infer_pool(InferContext& context, DType dtype) {
  context.set_output(0, dtype, image_shape(context, channels_of(context), pool_window(context)));
}

int64_t pool_grain(const PixelGrid& grid) {
  auto elements = static_cast<double>(grid.channels);
  for (const WindowAxis& axis : grid.axes) elements *= static_cast<double>(axis.kernel);
  return static_cast<int64_t>(
      std::max(1.0, static_cast<double>(kStreamGrain) / std::max(elements, 1.0)));
}

int64_t taps_on_input(std::span<const WindowAxis> axes, const int64_t* at) {
  int64_t count = 1;
  for (size_t a = 0; a < axes.size(); ++a) count *= axes[a].taps(at[a]).count();
  return count;
}

int64_t AverageDivisor::operator()(std::span<const WindowAxis> axes, const int64_t* at) const {
  if (!with_padding_) return taps_on_input(axes, at);
  int64_t count = 1;
  for (size_t a = 0; a < axes.size(); ++a) count *= axes[a].padded_taps(at[a]);
  return count;
}

}  // namespace sanderling
