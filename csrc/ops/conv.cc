#include "ops/conv_step.h"
#include "ops/node_checks.h"
#include "ops/residual.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, 1);
  if (context.has_input(2)) require_same_dtype(context, 0, 2);
  infer_convolution(context, context.input(0).dtype);
  infer_residual(context);
}

template <typename T>
void convolve(const ReferenceContext& context) {
  const Window window = convolution_window(context);
  const Shape& weights = context.input(1).shape;
  const int64_t outputs = weights[0], group_inputs = weights[1], taps = window.taps();
  const int64_t group_outputs = outputs / context.attributes().integer("group", 1);
  const ImageLayout x{is_channels_last(context), channels_of(context), window.inputs()};
  const ImageLayout y{is_channels_last(context), outputs, window.outputs()};
  const ActivationRange range = activation_range(context);
  const T* bias = context.has_input(2) ? context.in<T>(2) : nullptr;
  const Shape shape = image_shape(context, outputs, window);
  std::vector<T> product(has_residual(context) ? static_cast<size_t>(shape.elements()) : 0);
  T* const to = has_residual(context) ? product.data() : context.out<T>(0);
  const ActivationRange product_range = has_residual(context) ? ActivationRange{} : range;
  for (int64_t n = 0; n < context.input(0).shape[0]; ++n) {
    for (int64_t p = 0; p < window.outputs(); ++p) {
      const Position at = window.position(p);
      for (int64_t o = 0; o < outputs; ++o) {
        double sum = bias ? static_cast<double>(bias[o]) : 0.0;
        for_each_tap(window.axes, at.data(), [&](int64_t tap, int64_t pixel) {
          for (int64_t c = 0; c < group_inputs; ++c)
            sum += static_cast<double>(
                       context.in<T>(0)[x.at(n, o / group_outputs * group_inputs + c, pixel)]) *
                   static_cast<double>(context.in<T>(1)[(o * group_inputs + c) * taps + tap]);
        });
        to[y.at(n, o, p)] = product_range.clamp(static_cast<T>(sum));
      }
    }
  }
  if (has_residual(context))
    reference_residual(context, product, shape, [&](T a, T b) { return range.clamp(a + b); });
}

void reference(const ReferenceContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    convolve<float>(context);
  else
    convolve<double>(context);
}

struct Parameters : ConvStep {
  bool has_residual;
  std::shared_ptr<const Tensor> weights =
      nullptr;  // packed panels, `group_floats` per group; or [taps, C] for depthwise
  std::shared_ptr<const Tensor> padding = nullptr;  // one pixel of zeros
  int64_t group_floats = 0;
  int64_t rows = 0;  // pixels per tile

  // What the product is clamped to.
  ActivationRange product_range() const { return has_residual ? ActivationRange{} : range; }
  // Makes the product of these pixels, which is in the output, the sum.
  void add_residual(const StepArgs& args, int64_t begin, int64_t end) const {
    if (!has_residual) return;
    const int64_t first = begin * geometry.out_channels,
                  count = end * geometry.out_channels - first;
    float* const y = static_cast<float*>(args.outputs[0]) + first;
    kernels->add_f32({.count = count,
                      .a = y,
                      .a_step = 1,
                      .b = static_cast<const float*>(args.inputs[kResidual]) + first,
                      .b_step = 1,
                      .y = y});
    const ActivationRange all;
    if (range.low != all.low || range.high != all.high)
      kernels->clip_f32(y, y, count, range.low, range.high);
  }
};

void run_tiles(const Parameters& p, const StepArgs& args) {
  const ConvGeometry& g = p.geometry;
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  for_each_tile(*args.workers, g.pixels(), p.rows, [&](int64_t begin, int64_t end, int thread) {
    auto* scratch =
        reinterpret_cast<float*>(args.scratch + static_cast<size_t>(thread) * args.scratch_stride);
    for (int64_t group = 0; group < g.groups; ++group) {
      const ConvStep::Rows a = p.input_rows(x, begin, end, group, scratch);
      p.kernels->gemm_f32({.rows = end - begin,
                           .columns = g.group_outputs(),
                           .depth = g.depth(),
                           .a = a.first,
                           .a_stride = a.stride,
                           .b = p.weights->data<float>().data() + group * p.group_floats,
                           .bias = p.bias(args, group * g.group_outputs()),
                           .low = p.product_range().low,
                           .high = p.product_range().high,
                           .c = y + begin * g.out_channels + group * g.group_outputs(),
                           .c_stride = g.out_channels});
    }
    p.add_residual(args, begin, end);
  });
}

void run_depthwise(const Parameters& p, const StepArgs& args) {
  const ConvGeometry& g = p.geometry;
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  for_each_tile(*args.workers, g.pixels(), p.rows, [&](int64_t begin, int64_t end, int thread) {
    auto* taps = reinterpret_cast<const float**>(args.scratch +
                                                 static_cast<size_t>(thread) * args.scratch_stride);
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      point_taps(g, x, pixel, p.padding->data<float>().data(), taps);
      p.kernels->depthwise_f32({.channels = g.channels(),
                                .tap_count = g.taps(),
                                .taps = taps,
                                .weights = p.weights->data<float>().data(),
                                .bias = p.bias(args, 0),
                                .low = p.product_range().low,
                                .high = p.product_range().high,
                                .out = y + pixel * g.out_channels});
    }
    p.add_residual(args, begin, end);
  });
}

void plan_depthwise(PlanContext& context, Parameters p, const float* weights) {
  const ConvGeometry& g = p.geometry;
  const TensorType type{DType::kFloat32, Shape{g.taps(), g.channels()}};
  p.weights = context.shared_tensor("taps", type, [&] {
    return Tensor::of<float>(type.shape, taps_outermost(weights, g.channels(), g.taps()));
  });
  p.padding = std::make_shared<const Tensor>(DType::kFloat32, Shape{g.channels()});
  p.rows = tile_rows(g.channels() * static_cast<int64_t>(sizeof(float)));
  context.scratch(static_cast<size_t>(g.taps()) * sizeof(const float*));
  context.emit(run_depthwise, std::move(p), "depthwise_f32");
}

// Kernels run channels-last float32; everything else is left to the reference, also a residual that
// is broadcast or follows computed weights, which the pass does not expect.
void plan(PlanContext& context) {
  if (!has_pixel_grid(context) || context.input(0).dtype != DType::kFloat32 ||
      !is_plain_sum(context) || context.output(0).shape.elements() == 0)
    return;
  const KernelTable& kernels = context.kernels();
  Parameters p{{.geometry = conv_geometry(context),
                .range = activation_range(context),
                .kernels = &kernels,
                .has_bias = context.has_input(2)},
               has_residual(context)};
  if (!context.is_constant(1)) return p.has_residual ? void() : plan_computed_weights(context, p);
  const ConvGeometry& g = p.geometry;
  const float* weights = context.constant(1).data<float>().data();
  if (g.depthwise()) return plan_depthwise(context, std::move(p), weights);
  p.group_floats =
      static_cast<int64_t>(kernels.packed_bytes_f32(g.group_outputs(), g.depth()) / sizeof(float));
  const TensorType type{DType::kFloat32, Shape{g.groups * p.group_floats}};
  p.weights = context.shared_tensor("packed", type, [&] {
    const std::vector<float> rows = taps_first(weights, g.out_channels, g.group_inputs(), g.taps());
    Tensor packed(type);
    for (int64_t group = 0; group < g.groups; ++group)
      kernels.pack_f32(rows.data() + group * g.group_outputs() * g.depth(), g.group_outputs(),
                       g.depth(), packed.mutable_data<float>().data() + group * p.group_floats);
    return packed;
  });
  p.rows = tile_rows(g.depth() * static_cast<int64_t>(sizeof(float)));
  if (!g.pointwise()) context.scratch(static_cast<size_t>(p.rows * g.depth()) * sizeof(float));
  context.emit(run_tiles, std::move(p), "gemm_f32");
}

SANDERLING_OPERATOR(conv)({.name = "Conv",
                           .since_opset = 7,
                           .min_inputs = 2,
                           .max_inputs = 4,
                           .infer = infer,
                           .reference = reference,
                           .plan = plan,
                           .macs = convolution_macs});

}  // namespace
}  // namespace sanderling
