// Conv whose weights the model computes, such as one image's features that are looked for in
// another's, or kernels mixed by a gate: each task packs the weights that it multiplies by.
#include <algorithm>

#include "ops/conv_step.h"

namespace sanderling {
namespace {

// Output channels that a task packs: a multiple of every kernel's panel, and enough that a gathered
// row is worth its copying.
constexpr int64_t kTaskChannels = 64;

struct Computed {
  ConvStep step;
  int64_t tile_rows = 0;             // pixels that are gathered at once
  int64_t blocks = 1;                // of kTaskChannels channels, in each group
  int64_t pixels = 0;                // of a task; a multiple of tile_rows
  size_t weights = 0, gathered = 0;  // where they are in scratch, after what is packed
};

// The weights of output channels [begin, end) as rows [taps, C/group].
void copy_rows(const ConvGeometry& g, const float* weights, int64_t begin, int64_t end, float* to) {
  for (int64_t o = begin; o < end; ++o)
    for (int64_t t = 0; t < g.taps(); ++t)
      for (int64_t c = 0; c < g.group_inputs(); ++c)
        *to++ = weights[(o * g.group_inputs() + c) * g.taps() + t];
}

// One task: some channels of one group at some pixels.
void multiply(const Computed& p, const StepArgs& args, int64_t group, int64_t block, int64_t begin,
              int64_t end, std::byte* scratch) {
  const ConvGeometry& g = p.step.geometry;
  const int64_t first = group * g.group_outputs() + block * kTaskChannels;
  const int64_t channels = std::min(kTaskChannels, (group + 1) * g.group_outputs() - first);
  auto* const packed = reinterpret_cast<float*>(scratch);
  auto* const weights = reinterpret_cast<float*>(scratch + p.weights);
  copy_rows(g, static_cast<const float*>(args.inputs[1]), first, first + channels, weights);
  p.step.kernels->pack_f32(weights, channels, g.depth(), packed);
  for (int64_t pixel = begin; pixel < end; pixel += p.tile_rows) {
    const int64_t rows = std::min(p.tile_rows, end - pixel);
    const ConvStep::Rows a =
        p.step.input_rows(static_cast<const float*>(args.inputs[0]), pixel, pixel + rows, group,
                          reinterpret_cast<float*>(scratch + p.gathered));
    p.step.kernels->gemm_f32(
        {.rows = rows,
         .columns = channels,
         .depth = g.depth(),
         .a = a.first,
         .a_stride = a.stride,
         .b = packed,
         .bias = p.step.bias(args, first),
         .low = p.step.range.low,
         .high = p.step.range.high,
         .c = static_cast<float*>(args.outputs[0]) + pixel * g.out_channels + first,
         .c_stride = g.out_channels});
  }
}

void run_products(const Computed& p, const StepArgs& args) {
  const ConvGeometry& g = p.step.geometry;
  const int64_t parts = (g.pixels() + p.pixels - 1) / p.pixels;
  args.workers->for_each(g.groups * p.blocks * parts, [&](int64_t task, int thread) {
    const int64_t channels = task / parts, begin = task % parts * p.pixels;
    multiply(p, args, channels / p.blocks, channels % p.blocks, begin,
             std::min(g.pixels(), begin + p.pixels),
             args.scratch + static_cast<size_t>(thread) * args.scratch_stride);
  });
}

// Scratch: the weights [taps, C], a row of zeros, the taps of a pixel.
void run_depthwise(const Computed& p, const StepArgs& args) {
  const ConvGeometry& g = p.step.geometry;
  const auto* const given = static_cast<const float*>(args.inputs[1]);
  for_each_tile(*args.workers, g.pixels(), p.pixels, [&](int64_t begin, int64_t end, int thread) {
    std::byte* const scratch = args.scratch + static_cast<size_t>(thread) * args.scratch_stride;
    auto* const weights = reinterpret_cast<float*>(scratch);
    for (int64_t c = 0; c < g.channels(); ++c)
      for (int64_t t = 0; t < g.taps(); ++t)
        weights[t * g.channels() + c] = given[c * g.taps() + t];
    float* const zeros = weights + g.taps() * g.channels();
    std::fill(zeros, zeros + g.channels(), 0.0f);
    auto* const taps = reinterpret_cast<const float**>(scratch + p.gathered);
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      point_taps(g, static_cast<const float*>(args.inputs[0]), pixel, zeros, taps);
      p.step.kernels->depthwise_f32(
          {.channels = g.channels(),
           .tap_count = g.taps(),
           .taps = taps,
           .weights = weights,
           .bias = p.step.bias(args, 0),
           .low = p.step.range.low,
           .high = p.step.range.high,
           .out = static_cast<float*>(args.outputs[0]) + pixel * g.out_channels});
    }
  });
}

// With kernels that read whole vectors past the end of what they are given.
size_t padded(size_t bytes) {
  return (bytes + kSlackBytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Pixels per task, in whole tiles, so that `tasks` such shares are enough for all threads.
int64_t share(const PlanContext& context, int64_t pixels, int64_t tile, int64_t tasks) {
  const int64_t parts = (context.threads() + tasks - 1) / tasks;
  const int64_t each = (pixels + parts - 1) / parts;
  return std::max<int64_t>(1, (each + tile - 1) / tile) * tile;
}

}  // namespace

void plan_computed_weights(PlanContext& context, const ConvStep& step) {
  const ConvGeometry& g = step.geometry;
  Computed p{.step = step};
  if (g.depthwise()) {
    p.tile_rows = tile_rows(g.channels() * static_cast<int64_t>(sizeof(float)));
    p.pixels = share(context, g.pixels(), p.tile_rows, 1);
    p.gathered = padded(static_cast<size_t>((g.taps() + 1) * g.channels()) * sizeof(float));
    context.scratch(p.gathered + static_cast<size_t>(g.taps()) * sizeof(const float*));
    return context.emit(run_depthwise, std::move(p), "depthwise_f32");
  }
  const int64_t channels = std::min(kTaskChannels, g.group_outputs());
  p.tile_rows = std::min(tile_rows(g.depth() * static_cast<int64_t>(sizeof(float))), g.pixels());
  p.blocks = (g.group_outputs() + kTaskChannels - 1) / kTaskChannels;
  p.pixels = share(context, g.pixels(), p.tile_rows, g.groups * p.blocks);
  p.weights = padded(step.kernels->packed_bytes_f32(channels, g.depth()));
  p.gathered = p.weights + padded(static_cast<size_t>(channels * g.depth()) * sizeof(float));
  const int64_t gathered_rows = g.pointwise() ? 0 : p.tile_rows;
  context.scratch(p.gathered + static_cast<size_t>(gathered_rows * g.depth()) * sizeof(float));
  context.emit(run_products, std::move(p), "gemm_f32");
}

}  // namespace sanderling
