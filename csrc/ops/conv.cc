#include "kernels/table.h"
#include "ops/activation_range.h"
#include "ops/convolution.h"
#include "ops/node_checks.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, 1);
  if (context.has_input(2)) require_same_dtype(context, 0, 2);
  infer_convolution(context, context.input(0).dtype);
}

template <typename T>
void convolve(const ReferenceContext& context) {
  const Window window = convolution_window(context);
  const Shape& weights = context.input(1).shape;
  const bool last = is_channels_last(context);
  const int64_t channels = channels_of(context), outputs = weights[0], group_inputs = weights[1];
  const int64_t group_outputs = outputs / context.attributes().integer("group", 1);
  const int64_t in_pixels = context.input(0).shape.elements() / std::max<int64_t>(1, context.input(0).shape[0] * channels);
  const int64_t out_pixels = window.output_elements(), taps = window.kernel_elements();
  const ActivationRange range = activation_range(context);
  const T* x = context.in<T>(0);
  const T* w = context.in<T>(1);
  const T* bias = context.has_input(2) ? context.in<T>(2) : nullptr;
  T* y = context.out<T>(0);
  for (int64_t n = 0; n < context.input(0).shape[0]; ++n) {
    for (int64_t p = 0; p < out_pixels; ++p) {
      const std::vector<int64_t> at = position_of(window, p);
      for (int64_t o = 0; o < outputs; ++o) {
        const int64_t first = o / group_outputs * group_inputs;
        double sum = bias ? bias[o] : 0.0;
        for_each_tap(window, at, [&](int64_t tap, int64_t pixel) {
          for (int64_t c = 0; c < group_inputs; ++c) {
            const int64_t i = last ? (n * in_pixels + pixel) * channels + first + c
                                   : (n * channels + first + c) * in_pixels + pixel;
            sum += static_cast<double>(x[i]) * static_cast<double>(w[(o * group_inputs + c) * taps + tap]);
          }
        });
        const T clamped = sum < range.low ? T(range.low) : sum > range.high ? T(range.high) : T(sum);
        y[last ? (n * out_pixels + p) * outputs + o : (n * outputs + o) * out_pixels + p] = clamped;
      }
    }
  }
}

void reference(const ReferenceContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    convolve<float>(context);
  else
    convolve<double>(context);
}

using Packed = std::shared_ptr<const Tensor>;

struct Parameters {
  ConvGeometry geometry;
  ActivationRange range;
  Packed weights;      // packed panels, one block of `group_bytes` per group; or [taps, C] for depthwise
  Packed bias;         // [O], or nullptr
  Packed padding;      // one pixel of zeros
  int64_t group_floats = 0;
  int64_t rows = 0;    // pixels per tile
  decltype(KernelTable::gemm_f32) gemm = nullptr;
  decltype(KernelTable::depthwise_f32) depthwise = nullptr;

  const float* bias_at(int64_t channel) const { return bias ? bias->data<float>().data() + channel : nullptr; }
};

void run_tiles(const Parameters& p, const StepArgs& args) {
  const ConvGeometry& g = p.geometry;
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  const int64_t tiles = (g.pixels() + p.rows - 1) / p.rows;
  args.workers->for_each(tiles, [&](int64_t tile, int thread) {
    auto* scratch = reinterpret_cast<float*>(args.scratch + static_cast<size_t>(thread) * args.scratch_stride);
    const int64_t begin = tile * p.rows, end = std::min(g.pixels(), begin + p.rows);
    for (int64_t group = 0; group < g.groups; ++group) {
      GemmF32 gemm{.rows = end - begin,
                   .columns = g.group_outputs(),
                   .depth = g.depth(),
                   .a = scratch,
                   .a_stride = g.depth(),
                   .b = p.weights->data<float>().data() + group * p.group_floats,
                   .bias = p.bias_at(group * g.group_outputs()),
                   .low = p.range.low,
                   .high = p.range.high,
                   .c = y + begin * g.out_channels + group * g.group_outputs(),
                   .c_stride = g.out_channels};
      if (g.pointwise()) {
        gemm.a = x + begin * g.channels + group * g.group_inputs();
        gemm.a_stride = g.channels;
      } else {
        for (int64_t pixel = begin; pixel < end; ++pixel)
          gather_row(g, x, pixel, group, 0.0f, scratch + (pixel - begin) * g.depth());
      }
      p.gemm(gemm);
    }
  });
}

void run_depthwise(const Parameters& p, const StepArgs& args) {
  const ConvGeometry& g = p.geometry;
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  const int64_t tiles = (g.pixels() + p.rows - 1) / p.rows;
  args.workers->for_each(tiles, [&](int64_t tile, int thread) {
    auto* taps = reinterpret_cast<const float**>(args.scratch + static_cast<size_t>(thread) * args.scratch_stride);
    const int64_t end = std::min(g.pixels(), (tile + 1) * p.rows);
    for (int64_t pixel = tile * p.rows; pixel < end; ++pixel) {
      point_taps(g, x, pixel, p.padding->data<float>().data(), taps);
      p.depthwise({.channels = g.channels,
                   .tap_count = g.taps(),
                   .taps = taps,
                   .weights = p.weights->data<float>().data(),
                   .bias = p.bias_at(0),
                   .low = p.range.low,
                   .high = p.range.high,
                   .out = y + pixel * g.out_channels});
    }
  });
}

// One step for channels-last float32 with constant weights; everything else is left to the reference.
void plan(PlanContext& context) {
  const int64_t rank = context.input(0).shape.rank();
  if (!is_channels_last(context) || rank > 4 || context.input(0).dtype != DType::kFloat32) return;
  if (!context.is_constant(1) || (context.has_input(2) && !context.is_constant(2))) return;
  const KernelTable& kernels = context.kernels();
  Parameters p{.geometry = conv_geometry(context),
               .range = activation_range(context),
               .weights = nullptr,
               .bias = nullptr,
               .padding = nullptr,
               .gemm = kernels.gemm_f32,
               .depthwise = kernels.depthwise_f32};
  const ConvGeometry& g = p.geometry;
  if (context.has_input(2)) p.bias = std::make_shared<const Tensor>(context.constant(2));
  const float* weights = context.constant(1).data<float>().data();
  if (g.depthwise()) {
    p.weights = context.shared<Tensor>("taps", [&] {
      return Tensor::of<float>(Shape{g.taps(), g.channels}, taps_outermost(weights, g.channels, g.taps()));
    });
    p.padding = std::make_shared<const Tensor>(DType::kFloat32, Shape{g.channels});
    p.rows = tile_rows(g.channels * static_cast<int64_t>(sizeof(float)));
    context.scratch(static_cast<size_t>(g.taps()) * sizeof(const float*));
    context.emit(run_depthwise, std::move(p));
    return;
  }
  p.group_floats = static_cast<int64_t>(kernels.packed_bytes_f32(g.group_outputs(), g.depth()) / sizeof(float));
  p.weights = context.shared<Tensor>("packed", [&] {
    const std::vector<float> rows = taps_first(weights, g.out_channels, g.group_inputs(), g.taps());
    Tensor packed(DType::kFloat32, Shape{g.groups * p.group_floats});
    for (int64_t group = 0; group < g.groups; ++group)
      kernels.pack_f32(rows.data() + group * g.group_outputs() * g.depth(), g.group_outputs(), g.depth(),
                       packed.mutable_data<float>().data() + group * p.group_floats);
    return packed;
  });
  p.rows = tile_rows(g.depth() * static_cast<int64_t>(sizeof(float)));
  if (!g.pointwise()) context.scratch(static_cast<size_t>(p.rows * g.depth()) * sizeof(float));
  context.emit(run_tiles, std::move(p));
}

SANDERLING_OPERATOR(conv)({.name = "Conv",
                           .since_opset = 7,
                           .min_inputs = 2,
                           .max_inputs = 3,
                           .infer = infer,
                           .reference = reference,
                           .plan = plan,
                           .macs = convolution_macs});

}  // namespace
}  // namespace sanderling
