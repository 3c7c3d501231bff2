// The float averages: AveragePool and GlobalAveragePool.
#include <algorithm>

#include "kernels/table.h"
#include "ops/node_checks.h"
#include "ops/pooling.h"

namespace sanderling {
namespace {

template <typename T>
void average(const ReferenceContext& context) {
  const Window window = pool_window(context);
  const AverageDivisor divisor(context);
  const int64_t channels = channels_of(context);
  const ImageLayout x{is_channels_last(context), channels, window.inputs()};
  const ImageLayout y{is_channels_last(context), channels, window.outputs()};
  for (int64_t n = 0; n < context.input(0).shape[0]; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t p = 0; p < window.outputs(); ++p) {
        const Position at = window.position(p);
        double sum = 0.0;
        for_each_tap(window.axes, at.data(), [&](int64_t /*tap*/, int64_t pixel) {
          sum += static_cast<double>(context.in<T>(0)[x.at(n, c, pixel)]);
        });
        context.out<T>(0)[y.at(n, c, p)] =
            static_cast<T>(sum / static_cast<double>(divisor(window.axes, at.data())));
      }
    }
  }
}

struct Parameters {
  PixelGrid grid;
  const KernelTable* kernels;
  AverageDivisor divisor;
};

// Each row of the window is summed by itself before the rows are: a float32 sum of n terms errs
// with n, of rows with rows + columns only, which matters for global pools.
void run(const Parameters& p, const StepArgs& args) {
  const PixelGrid& g = p.grid;
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  const int64_t grain = pool_grain(g);
  args.workers->for_each((g.outputs() + grain - 1) / grain, [&](int64_t task, int thread) {
    auto* sum =
        reinterpret_cast<float*>(args.scratch + static_cast<size_t>(thread) * args.scratch_stride);
    float* row = sum + g.channels;
    for (int64_t i = task * grain; i < std::min(g.outputs(), (task + 1) * grain); ++i) {
      const PixelGrid::Output output = g.output(i);
      const float* image = g.image(x, output.image);
      std::fill_n(sum, g.channels, 0.0f);
      for_each_tap(
          std::span(g.axes).first(2), output.at.data(), [&](int64_t /*tap*/, int64_t row_at) {
            std::fill_n(row, g.channels, 0.0f);
            for_each_tap(std::span(g.axes).last(1), output.at.data() + 2,
                         [&](int64_t /*tap*/, int64_t x_at) {
                           p.kernels->accumulate_f32(
                               image + (row_at * g.x().input + x_at) * g.channels, row, g.channels);
                         });
            p.kernels->accumulate_f32(row, sum, g.channels);
          });
      const auto count = static_cast<float>(p.divisor(g.axes, output.at.data()));
      p.kernels->div_f32({.count = g.channels,
                          .a = sum,
                          .a_step = 1,
                          .b = &count,
                          .b_step = 0,
                          .y = y + i * g.channels});
    }
  });
}

}  // namespace

void infer_average(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  infer_pool(context, context.input(0).dtype);
}

void reference_average(const ReferenceContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    average<float>(context);
  else
    average<double>(context);
}

void plan_average(PlanContext& context) {
  if (!has_pixel_grid(context) || context.input(0).dtype != DType::kFloat32) return;
  const PixelGrid grid = pixel_grid(context, pool_window(context));
  context.scratch(2 * static_cast<size_t>(grid.channels) * sizeof(float));
  context.emit(run, Parameters{grid, &context.kernels(), AverageDivisor(context)});
}

}  // namespace sanderling
