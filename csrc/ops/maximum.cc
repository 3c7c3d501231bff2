// The maxima: MaxPool and GlobalMaxPool.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/table.h"
#include "ops/element_types.h"
#include "ops/node_checks.h"
#include "ops/pooling.h"

namespace sanderling {
namespace {

template <typename T>
constexpr T kLowest = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                           : std::numeric_limits<T>::lowest();

template <typename T>
bool is_above(T x, T largest) {
  if constexpr (std::is_floating_point_v<T>)
    if (std::isnan(x)) return true;
  return x > largest;
}

// A pixel's index as MaxPool's second output counts it: row-major, or with storage_order 1 the
// first axis running fastest.
int64_t stored_index(const Window& window, int64_t pixel, bool column_major) {
  if (!column_major) return pixel;
  int64_t stride = window.inputs(), index = 0;
  for (size_t a = window.axes.size(); a-- > 0;) {
    stride /= window.axes[a].input;
    index += pixel % window.axes[a].input * stride;
    pixel /= window.axes[a].input;
  }
  return index;
}

template <typename T>
void maximum(const ReferenceContext& context) {
  const Window window = pool_window(context);
  const int64_t channels = channels_of(context);
  const bool wants_indices = context.outputs() > 1 && context.raw_output(1) != nullptr;
  const bool column_major = context.attributes().integer("storage_order", 0) != 0;
  const ImageLayout x{is_channels_last(context), channels, window.inputs()};
  const ImageLayout y{is_channels_last(context), channels, window.outputs()};
  for (int64_t n = 0; n < context.input(0).shape[0]; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t p = 0; p < window.outputs(); ++p) {
        const Position at = window.position(p);
        T largest = kLowest<T>;
        int64_t where = -1;
        for_each_tap(window.axes, at.data(), [&](int64_t /*tap*/, int64_t pixel) {
          const T value = context.in<T>(0)[x.at(n, c, pixel)];
          if (where >= 0 && !is_above(value, largest)) return;
          largest = value;
          where = pixel;
        });
        context.out<T>(0)[y.at(n, c, p)] = largest;
        if (!wants_indices) continue;
        // A window that sees no pixel has no index; ONNX does not say what stands there.
        const int64_t index = where < 0 ? 0 : stored_index(window, where, column_major);
        context.out<int64_t>(1)[y.at(n, c, p)] = (n * channels + c) * window.inputs() + index;
      }
    }
  }
}

template <typename T>
struct Parameters {
  PixelGrid grid;
  void (*fold)(const T*, T*, int64_t);
};

template <typename T>
void run(const Parameters<T>& p, const StepArgs& args) {
  const PixelGrid& g = p.grid;
  const auto* x = static_cast<const T*>(args.inputs[0]);
  auto* y = static_cast<T*>(args.outputs[0]);
  for_each_range(*args.workers, g.outputs(), pool_grain(g), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const PixelGrid::Output output = g.output(i);
      const T* image = g.image(x, output.image);
      T* largest = y + i * g.channels;
      bool first = true;
      g.for_each_tap_at(output, [&](int64_t /*tap*/, int64_t pixel) {
        if (first)
          std::memcpy(largest, image + pixel * g.channels,
                      static_cast<size_t>(g.channels) * sizeof(T));
        else
          p.fold(image + pixel * g.channels, largest, g.channels);
        first = false;
      });
      if (first) std::fill_n(largest, g.channels, kLowest<T>);
    }
  });
}

}  // namespace

void infer_maximum(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64, DType::kUInt8, DType::kInt8});
  const int64_t order = context.attributes().integer("storage_order", 0);
  if (order != 0 && order != 1) context.error("storage_order is ", order, ", expected 0 or 1");
  infer_pool(context, context.input(0).dtype);
  context.set_output(1, DType::kInt64,
                     image_shape(context, channels_of(context), pool_window(context)));
}

void reference_maximum(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) { maximum<decltype(zero)>(context); });
}

void plan_maximum(PlanContext& context) {
  const bool wants_indices = context.outputs() > 1 && context.node().outputs[1] != kNoValue;
  if (!has_pixel_grid(context) || wants_indices) return;
  const PixelGrid grid = pixel_grid(context, pool_window(context));
  if (context.input(0).dtype == DType::kFloat32)
    context.emit(run<float>, Parameters<float>{grid, context.kernels().max_f32});
  else if (context.input(0).dtype == DType::kUInt8)
    context.emit(run<uint8_t>, Parameters<uint8_t>{grid, context.kernels().max_u8});
}

}  // namespace sanderling
