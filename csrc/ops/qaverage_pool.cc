#include <algorithm>
#include <limits>

#include "kernels/table.h"
#include "ops/integer_epilogue.h"
#include "ops/node_checks.h"
#include "ops/pooling.h"

namespace sanderling {
namespace {

constexpr int64_t kMostPixels =
    std::numeric_limits<int32_t>::max() / 255;  // that an int32 sum of codes holds

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kUInt8});
  int64_t pixels = 1;
  for (const WindowAxis& axis : pool_window(context).axes)
    pixels *= std::min(axis.kernel, axis.input);
  if (pixels > kMostPixels)
    context.unsupported("sums of ", pixels, " codes could overflow int32, the limit is ",
                        kMostPixels, ". Leave this layer out of quantization");
  infer_pool(context, integer_output_dtype(context));
}

// With sum = sum of codes on the input, n of them, the output is (sum + bias) * scale, in output
// steps or real.
struct Mean {
  int32_t bias;
  float scale;
};

class Means {
 public:
  explicit Means(const InferContext& context)
      : x_(context.input_quantization(0)), divisor_(context) {
    if (const auto& y = context.quantization_of_output(0)) y_scale_ = static_cast<double>(y->scale);
  }
  Mean at(std::span<const WindowAxis> axes, const int64_t* position) const {
    const auto bias = static_cast<int32_t>(-taps_on_input(axes, position) * x_.zero_point);
    const auto count = static_cast<double>(divisor_(axes, position));
    return {bias, static_cast<float>(static_cast<double>(x_.scale) / (y_scale_ * count))};
  }

 private:
  Quantization x_;
  AverageDivisor divisor_;
  double y_scale_ = 1.0;
};

void reference(const ReferenceContext& context) {
  const Window window = pool_window(context);
  const Means means(context);
  const auto& quantization = context.quantization_of_output(0);
  const int64_t channels = channels_of(context);
  const ImageLayout x{true, channels, window.inputs()};
  const ImageLayout y{true, channels, window.outputs()};
  for (int64_t n = 0; n < context.input(0).shape[0]; ++n) {
    for (int64_t p = 0; p < window.outputs(); ++p) {
      const Position at = window.position(p);
      const Mean mean = means.at(window.axes, at.data());
      for (int64_t c = 0; c < channels; ++c) {
        int32_t sum = 0;
        for_each_tap(window.axes, at.data(), [&](int64_t /*tap*/, int64_t pixel) {
          sum += context.in<uint8_t>(0)[x.at(n, c, pixel)];
        });
        const float value = static_cast<float>(sum + mean.bias) * mean.scale;
        if (quantization)
          context.out<uint8_t>(0)[y.at(n, c, p)] =
              static_cast<uint8_t>(quantized(value, 1.0f, quantization->zero_point, 0, 255));
        else
          context.out<float>(0)[y.at(n, c, p)] = value;
      }
    }
  }
}

struct Parameters {
  PixelGrid grid;
  Means means;
  const KernelTable* kernels;
  bool codes;
  int32_t zero_point;
  size_t channel_bytes;  // of each of the three rows in scratch: sums, bias, scale
};

void finish(const Parameters& p, const int32_t* sum, const int32_t* bias, const float* scale,
            void* y, int64_t y_offset) {
  const int64_t channels = p.grid.channels;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (p.codes)
    p.kernels->requantize_s32u8({.rows = 1,
                                 .columns = channels,
                                 .acc = sum,
                                 .acc_stride = channels,
                                 .bias = bias,
                                 .scale = scale,
                                 .offset = nullptr,
                                 .zero_point = p.zero_point,
                                 .low = 0,
                                 .high = 255,
                                 .y = static_cast<uint8_t*>(y) + y_offset,
                                 .y_stride = channels});
  else
    p.kernels->requantize_s32f32({.rows = 1,
                                  .columns = channels,
                                  .acc = sum,
                                  .acc_stride = channels,
                                  .bias = bias,
                                  .scale = scale,
                                  .offset = nullptr,
                                  .low = -kInfinity,
                                  .high = kInfinity,
                                  .y = static_cast<float*>(y) + y_offset,
                                  .y_stride = channels});
}

void run(const Parameters& p, const StepArgs& args) {
  const PixelGrid& g = p.grid;
  const auto* x = static_cast<const uint8_t*>(args.inputs[0]);
  const int64_t grain = pool_grain(g);
  args.workers->for_each((g.outputs() + grain - 1) / grain, [&](int64_t task, int thread) {
    std::byte* scratch = args.scratch + static_cast<size_t>(thread) * args.scratch_stride;
    auto* sum = reinterpret_cast<int32_t*>(scratch);
    auto* bias = reinterpret_cast<int32_t*>(scratch + p.channel_bytes);
    auto* scale = reinterpret_cast<float*>(scratch + 2 * p.channel_bytes);
    Mean filled{
        0, std::numeric_limits<float>::quiet_NaN()};  // what bias and scale hold; equal to no mean
    for (int64_t i = task * grain; i < std::min(g.outputs(), (task + 1) * grain); ++i) {
      const PixelGrid::Output output = g.output(i);
      const uint8_t* image = g.image(x, output.image);
      const Mean mean = p.means.at(g.axes, output.at.data());
      if (mean.bias != filled.bias || mean.scale != filled.scale) {  // at the borders only
        std::fill_n(bias, g.channels, mean.bias);
        std::fill_n(scale, g.channels, mean.scale);
        filled = mean;
      }
      std::fill_n(sum, g.channels, 0);
      g.for_each_tap_at(output, [&](int64_t /*tap*/, int64_t pixel) {
        p.kernels->accumulate_u8s32(image + pixel * g.channels, sum, g.channels);
      });
      finish(p, sum, bias, scale, args.outputs[0], i * g.channels);
    }
  });
}

void plan(PlanContext& context) {
  if (!has_pixel_grid(context)) return;
  const auto& quantization = context.quantization_of_output(0);
  Parameters p{.grid = pixel_grid(context, pool_window(context)),
               .means = Means(context),
               .kernels = &context.kernels(),
               .codes = quantization.has_value(),
               .zero_point = quantization ? quantization->zero_point : 0,
               .channel_bytes = 0};
  p.channel_bytes = (static_cast<size_t>(p.grid.channels) * sizeof(int32_t) + kAlignment - 1) /
                    kAlignment * kAlignment;
  context.scratch(3 * p.channel_bytes);
  context.emit(run, std::move(p));
}

SANDERLING_OPERATOR(qaverage_pool)(
    {.name = "QAveragePool", .infer = infer, .reference = reference, .plan = plan});

}  // namespace
}  // namespace sanderling
