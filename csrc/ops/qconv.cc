#include <algorithm>

#include "ops/binary_codes.h"
#include "ops/convolution.h"
#include "ops/integer_epilogue.h"
#include "ops/packed_codes.h"
#include "ops/residual.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  check_integer_weights(context);
  if (context.input(0).shape.rank() > 5)
    context.unsupported("input 0 has shape ", context.input(0).shape.to_string(),
                        "; at most 3 spatial axes run on codes");
  infer_convolution(context, integer_output_dtype(context));
  infer_residual(context);
}

// As QAdd has it, of the product's codes and the residual's.
BinaryU8 residual_sum(const InferContext& context) {
  const Quantization a = *product_quantization(context);
  const Quantization& b = context.input_quantization(kResidual);
  const Quantization& y = context.output_quantization(0);
  return sum_of_codes_parameters(a, b, y, code_range(context, y));
}

// Codes on padding are the zero point, so that they add nothing.
void reference(const ReferenceContext& context) {
  const Window window = convolution_window(context);
  const IntegerEpilogue epilogue = integer_epilogue(context);
  const Shape& weights = context.input(1).shape;
  const int64_t outputs = weights[0], group_inputs = weights[1], taps = window.taps();
  const int64_t group_outputs = outputs / context.attributes().integer("group", 1);
  const int32_t padding = context.input_quantization(0).zero_point;
  const ImageLayout x{true, channels_of(context), window.inputs()};
  const ImageLayout y{true, outputs, window.outputs()};
  std::vector<int32_t> codes(
      static_cast<size_t>(group_inputs * taps));  // in the order of the weights
  const Shape shape = image_shape(context, outputs, window);
  std::vector<uint8_t> product(has_residual(context) ? static_cast<size_t>(shape.elements()) : 0);
  for (int64_t n = 0; n < context.input(0).shape[0]; ++n) {
    for (int64_t p = 0; p < window.outputs(); ++p) {
      const Position at = window.position(p);
      for (int64_t o = 0; o < outputs; ++o) {
        std::fill(codes.begin(), codes.end(), padding);
        for_each_tap(window.axes, at.data(), [&](int64_t tap, int64_t pixel) {
          for (int64_t c = 0; c < group_inputs; ++c)
            codes[static_cast<size_t>(c * taps + tap)] =
                context.in<uint8_t>(0)[x.at(n, o / group_outputs * group_inputs + c, pixel)];
        });
        const int8_t* filter = context.in<int8_t>(1) + o * group_inputs * taps;
        const int32_t zero = epilogue.weight_zero_of(o);
        int32_t acc = 0;
        for (size_t i = 0; i < codes.size(); ++i) acc += codes[i] * (filter[i] - zero);
        if (has_residual(context))
          product[static_cast<size_t>(y.at(n, o, p))] = epilogue.code(acc, o);
        else if (epilogue.codes)
          context.out<uint8_t>(0)[y.at(n, o, p)] = epilogue.code(acc, o);
        else
          context.out<float>(0)[y.at(n, o, p)] = epilogue.real(acc, o);
      }
    }
  }
  if (has_residual(context))
    reference_residual(context, product, shape, [sum = residual_sum(context)](int a, int b) {
      return code_of_steps(sum_in_steps(a - sum.a_zero, b - sum.b_zero, sum), sum);
    });
}

struct Parameters {
  ConvGeometry geometry;
  const KernelTable* kernels;
  IntegerEpilogue epilogue;
  uint8_t zero_point;
  std::shared_ptr<const Tensor> weights =
      nullptr;  // packed panels, `group_bytes` per group; or [taps, C] for depthwise
  std::shared_ptr<const Tensor> padding = nullptr;  // one pixel of the zero point
  int64_t group_bytes = 0;
  int64_t rows = 0;       // pixels per tile
  size_t acc_offset = 0;  // of the sums in scratch; gathered rows or tap pointers come before
  std::optional<BinaryU8> residual{};  // without count and pointers

  // Makes the product of these pixels, which is in the output, the sum.
  void add_residual(const StepArgs& args, int64_t begin, int64_t end) const {
    if (!residual) return;
    const int64_t first = begin * geometry.out_channels;
    BinaryU8 sum = *residual;
    sum.count = end * geometry.out_channels - first;
    sum.y = static_cast<uint8_t*>(args.outputs[0]) + first;
    sum.a = sum.y;
    sum.b = static_cast<const uint8_t*>(args.inputs[kResidual]) + first;
    kernels->add_u8(sum);
  }
};

void run_tiles(const Parameters& p, const StepArgs& args) {
  const ConvGeometry& g = p.geometry;
  const auto* x = static_cast<const uint8_t*>(args.inputs[0]);
  for_each_tile(*args.workers, g.pixels(), p.rows, [&](int64_t begin, int64_t end, int thread) {
    std::byte* scratch = args.scratch + static_cast<size_t>(thread) * args.scratch_stride;
    auto* gathered = reinterpret_cast<uint8_t*>(scratch);
    auto* acc = reinterpret_cast<int32_t*>(scratch + p.acc_offset);
    for (int64_t group = 0; group < g.groups; ++group) {
      GemmU8S8 gemm{.rows = end - begin,
                    .columns = g.group_outputs(),
                    .depth = g.depth(),
                    .a = gathered,
                    .a_stride = g.depth(),
                    .b = p.weights->data<int8_t>().data() + group * p.group_bytes,
                    .c = acc,
                    .c_stride = g.group_outputs()};
      if (g.pointwise()) {
        gemm.a = x + begin * g.channels() + group * g.group_inputs();
        gemm.a_stride = g.channels();
      } else {
        for (int64_t pixel = begin; pixel < end; ++pixel)
          gather_row(g, x, pixel, group, p.zero_point, gathered + (pixel - begin) * g.depth());
      }
      p.kernels->gemm_u8s8s32(gemm);
      const int64_t channel = group * g.group_outputs();
      if (!p.epilogue.weight_zero.empty())
        for (int64_t row = 0; row < gemm.rows; ++row)
          p.epilogue.centre(acc + row * gemm.columns, gemm.columns, channel,
                            sum_of_codes(gemm.a + row * gemm.a_stride, gemm.depth));
      p.epilogue.finish(*p.kernels, acc, end - begin, g.group_outputs(), channel, args.outputs[0],
                        begin * g.out_channels + channel, g.out_channels);
    }
    p.add_residual(args, begin, end);
  });
}

// IntegerEpilogue::centre, where each channel sees codes of its own.
void centre_taps(const Parameters& p, const uint8_t* const* taps, int32_t* acc) {
  const int32_t* zero = p.epilogue.weight_zero.data();
  for (int64_t t = 0; t < p.geometry.taps(); ++t)
    for (int64_t c = 0; c < p.geometry.channels(); ++c) acc[c] -= zero[c] * taps[t][c];
}

void run_depthwise(const Parameters& p, const StepArgs& args) {
  const ConvGeometry& g = p.geometry;
  const auto* x = static_cast<const uint8_t*>(args.inputs[0]);
  for_each_tile(*args.workers, g.pixels(), p.rows, [&](int64_t begin, int64_t end, int thread) {
    std::byte* scratch = args.scratch + static_cast<size_t>(thread) * args.scratch_stride;
    auto* taps = reinterpret_cast<const uint8_t**>(scratch);
    auto* acc = reinterpret_cast<int32_t*>(scratch + p.acc_offset);
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      point_taps(g, x, pixel, p.padding->data<uint8_t>().data(), taps);
      p.kernels->depthwise_u8s8s32({.channels = g.channels(),
                                    .tap_count = g.taps(),
                                    .taps = taps,
                                    .weights = p.weights->data<int8_t>().data(),
                                    .out = acc + (pixel - begin) * g.channels()});
      if (!p.epilogue.weight_zero.empty())
        centre_taps(p, taps, acc + (pixel - begin) * g.channels());
    }
    p.epilogue.finish(*p.kernels, acc, end - begin, g.channels(), 0, args.outputs[0],
                      begin * g.out_channels, g.out_channels);
    p.add_residual(args, begin, end);
  });
}

size_t aligned(size_t bytes) {
  return (bytes + kSlackBytes + kAlignment - 1) / kAlignment * kAlignment;
}

void plan_depthwise(PlanContext& context, Parameters p, const int8_t* weights) {
  const ConvGeometry& g = p.geometry;
  const TensorType type{DType::kInt8, Shape{g.taps(), g.channels()}};
  p.weights = context.shared_tensor("taps", type, [&] {
    return Tensor::of<int8_t>(type.shape, taps_outermost(weights, g.channels(), g.taps()));
  });
  p.padding = context.shared<Tensor>("padding", [&] {
    Tensor padding(DType::kUInt8, Shape{g.channels()});
    std::fill_n(padding.mutable_data<uint8_t>().data(), g.channels(), p.zero_point);
    return padding;
  });
  p.rows = tile_rows(g.channels() * static_cast<int64_t>(sizeof(int32_t)));
  p.acc_offset = aligned(static_cast<size_t>(g.taps()) * sizeof(const uint8_t*));
  context.scratch(p.acc_offset + static_cast<size_t>(p.rows * g.channels()) * sizeof(int32_t));
  context.emit(run_depthwise, std::move(p), "depthwise_u8s8s32");
}

// A residual that is broadcast, which the pass does not expect, is left to the reference.
void plan(PlanContext& context) {
  if (!is_plain_sum(context)) return;
  const KernelTable& kernels = context.kernels();
  Parameters p{.geometry = conv_geometry(context),
               .kernels = &kernels,
               .epilogue = shared_integer_epilogue(context),
               .zero_point = static_cast<uint8_t>(context.input_quantization(0).zero_point)};
  if (has_residual(context)) p.residual = residual_sum(context);
  const ConvGeometry& g = p.geometry;
  const int8_t* weights = context.constant(1).data<int8_t>().data();
  if (g.depthwise()) return plan_depthwise(context, std::move(p), weights);
  p.group_bytes = static_cast<int64_t>(kernels.packed_bytes_u8s8(g.group_outputs(), g.depth()));
  const TensorType type{DType::kInt8, Shape{g.groups * p.group_bytes}};
  p.weights = context.shared_tensor("packed", type, [&] {
    const std::vector<int8_t> rows =
        taps_first(weights, g.out_channels, g.group_inputs(), g.taps());
    Tensor packed(type);
    for (int64_t group = 0; group < g.groups; ++group)
      kernels.pack_u8s8(rows.data() + group * g.group_outputs() * g.depth(), g.group_outputs(),
                        g.depth(), packed.mutable_data<int8_t>().data() + group * p.group_bytes);
    return packed;
  });
  p.rows = tile_rows(g.depth() + g.group_outputs() * static_cast<int64_t>(sizeof(int32_t)));
  p.acc_offset = aligned(static_cast<size_t>(g.pointwise() ? 0 : p.rows * g.depth()));
  context.scratch(p.acc_offset + static_cast<size_t>(p.rows * g.group_outputs()) * sizeof(int32_t));
  context.emit(run_tiles, std::move(p), "gemm_u8s8s32");
}

SANDERLING_OPERATOR(qconv)({.name = "QConv",
                            .min_inputs = 2,
                            .max_inputs = 4,
                            .infer = infer,
                            .reference = reference,
                            .plan = plan,
                            .macs = convolution_macs});

}  // namespace
}  // namespace sanderling
