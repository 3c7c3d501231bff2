#include <array>

#include "ops/code_convolution.h"
#include "ops/packed_codes.h"

namespace sanderling {
namespace {

constexpr ConvolutionInputs kInputs{.x_zero = 2, .weights = 1, .weights_zero = 3};

void infer(InferContext& context) {
  require_codes(context, 0);
  require_codes(context, 1);
  infer_convolution(context, DType::kInt32, kInputs.weights, kLeftOut);
  require_parameters(context, context.input(0).dtype, kLeftOut, kInputs.x_zero);
  require_parameters(context, context.input(1).dtype, kLeftOut, kInputs.weights_zero,
                     context.input(1).shape[0]);
}

void reference(const ReferenceContext& context) {
  for_each_code_sum(context, kInputs, [&](int64_t i, int64_t /*channel*/, int64_t sum) {
    context.out<int32_t>(0)[i] = low_bits(sum);
  });
}

struct Parameters {
  Window window;
  int64_t images, channels, groups, group_outputs, depth;
  bool x_signed, w_signed, has_x_zero, has_w_zero, w_zero_each;
  const KernelTable* kernels;
  PackedCodes weights;  // a matrix per group
  int64_t rows;         // pixels per tile
  size_t acc_offset;    // in scratch, after gathered rows

  int64_t tiles() const { return (window.outputs() + rows - 1) / rows; }  // of an image
};

// What one output pixel reads of one group, [C/group, taps] as the weights are; taps on padding are
// the zero point.
void gather(const Parameters& p, const uint8_t* group, int64_t pixel, uint8_t padding,
            uint8_t* row) {
  const int64_t taps = p.window.taps(), inputs = p.window.inputs();
  const Position at = p.window.position(pixel);
  std::fill_n(row, p.depth, padding);
  const uint8_t flip = p.x_signed ? 0x80 : 0;
  for_each_tap(p.window.axes, at.data(), [&](int64_t tap, int64_t from) {
    for (int64_t c = 0; c * taps < p.depth; ++c)
      row[c * taps + tap] = group[c * inputs + from] ^ flip;
  });
}

void run_tile(const Parameters& p, const StepArgs& args, int64_t image, int64_t begin, int64_t end,
              std::byte* scratch) {
  auto* rows = reinterpret_cast<uint8_t*>(scratch);
  auto* acc = reinterpret_cast<int32_t*>(scratch + p.acc_offset);
  const int64_t x_zero =
      raised_zero_point(p.has_x_zero ? args.inputs[kInputs.x_zero] : nullptr, p.x_signed, 0);
  const void* w_zeros = p.has_w_zero ? args.inputs[kInputs.weights_zero] : nullptr;
  const int64_t group_inputs = p.channels / p.groups, outputs = p.window.outputs();
  for (int64_t g = 0; g < p.groups; ++g) {
    const auto* x = static_cast<const uint8_t*>(args.inputs[0]) +
                    (image * p.channels + g * group_inputs) * p.window.inputs();
    for (int64_t pixel = begin; pixel < end; ++pixel)
      gather(p, x, pixel, static_cast<uint8_t>(x_zero), rows + (pixel - begin) * p.depth);
    for (int64_t first = 0; first < p.group_outputs; first += kBlockColumns) {
      const int64_t count = std::min(kBlockColumns, p.group_outputs - first);
      p.kernels->gemm_u8s8s32({.rows = end - begin,
                               .columns = count,
                               .depth = p.depth,
                               .a = rows,
                               .a_stride = p.depth,
                               .b = p.weights.blocks.block(g, first / kBlockColumns),
                               .c = acc,
                               .c_stride = count});
      for (int64_t pixel = begin; pixel < end; ++pixel) {
        const int64_t r = pixel - begin;
        const int32_t row_sum = sum_of_codes(rows + r * p.depth, p.depth);
        for (int64_t c = 0; c < count; ++c) {
          const int64_t o = g * p.group_outputs + first + c;
          const int32_t w_zero = lowered_zero_point(w_zeros, p.w_signed, p.w_zero_each ? o : 0);
          static_cast<int32_t*>(
              args.outputs[0])[(image * p.groups * p.group_outputs + o) * outputs + pixel] =
              p.weights.centred(acc[r * count + c], row_sum, static_cast<int32_t>(x_zero), w_zero,
                                o);
        }
      }
    }
  }
}

void run(const Parameters& p, const StepArgs& args) {
  args.workers->for_each(p.images * p.tiles(), [&](int64_t task, int thread) {
    const int64_t begin = task % p.tiles() * p.rows;
    run_tile(p, args, task / p.tiles(), begin, std::min(p.window.outputs(), begin + p.rows),
             args.scratch + static_cast<size_t>(thread) * args.scratch_stride);
  });
}

// Few outputs per group leave the product kernel idle: each plane is summed tap by tap instead.
constexpr int64_t kFewOutputs = 4;

struct Planes {
  std::array<WindowAxis, 2> axes;  // y, x; one axis is a row of height 1
  int64_t images, channels, groups, outputs;
  bool x_signed, w_signed, has_x_zero, has_w_zero, w_zero_each;

  int64_t inputs() const { return channels / groups; }  // of a group
};

int32_t byte_at(const void* bytes, bool is_signed, int64_t i) {
  return is_signed ? static_cast<const int8_t*>(bytes)[i] : static_cast<const uint8_t*>(bytes)[i];
}

// y += weight * (x - x_zero) for one tap of one input plane; in the low 32 bits.
template <typename X>
void add_tap(const Planes& p, const X* x, uint32_t* y, int64_t ky, int64_t kx, int32_t weight,
             int32_t x_zero) {
  const WindowAxis &rows = p.axes[0], &columns = p.axes[1];
  for (int64_t oy = 0; oy < rows.output; ++oy) {
    const int64_t iy = rows.start(oy) + ky * rows.dilation;
    if (iy < 0 || iy >= rows.input) continue;
    const X* from = x + iy * columns.input;
    uint32_t* to = y + oy * columns.output;
    const int64_t shift = kx * columns.dilation - columns.pad_begin;  // 0 <= ox * stride + shift
    const int64_t begin = shift >= 0 ? 0 : (-shift + columns.stride - 1) / columns.stride;
    const int64_t room = columns.input - shift;
    const int64_t end =
        room <= 0 ? 0 : std::min(columns.output, (room + columns.stride - 1) / columns.stride);
    for (int64_t ox = begin; ox < end; ++ox)
      to[ox] += static_cast<uint32_t>(weight * (from[ox * columns.stride + shift] - x_zero));
  }
}

void run_planes(const Planes& p, const StepArgs& args) {
  const int64_t pixels = p.axes[0].input * p.axes[1].input;
  const int64_t taps = p.axes[0].kernel * p.axes[1].kernel;
  const int64_t results = p.axes[0].output * p.axes[1].output;
  const int32_t x_zero = p.has_x_zero ? byte_at(args.inputs[kInputs.x_zero], p.x_signed, 0) : 0;
  args.workers->for_each(p.images * p.outputs, [&](int64_t task, int /*thread*/) {
    const int64_t image = task / p.outputs, o = task % p.outputs;
    auto* y = static_cast<uint32_t*>(args.outputs[0]) + task * results;
    std::fill_n(y, results, 0u);
    const int32_t w_zero =
        p.has_w_zero ? byte_at(args.inputs[kInputs.weights_zero], p.w_signed, p.w_zero_each ? o : 0)
                     : 0;
    const int64_t first = image * p.channels + o / (p.outputs / p.groups) * p.inputs();
    for (int64_t c = 0; c < p.inputs(); ++c) {
      for (int64_t t = 0; t < taps; ++t) {
        const int32_t w =
            byte_at(args.inputs[1], p.w_signed, (o * p.inputs() + c) * taps + t) - w_zero;
        const int64_t ky = t / p.axes[1].kernel, kx = t % p.axes[1].kernel;
        const int64_t at = (first + c) * pixels;
        if (p.x_signed)
          add_tap(p, static_cast<const int8_t*>(args.inputs[0]) + at, y, ky, kx, w, x_zero);
        else
          add_tap(p, static_cast<const uint8_t*>(args.inputs[0]) + at, y, ky, kx, w, x_zero);
      }
    }
  });
}

// Whether it was planned.
bool plan_planes(PlanContext& context) {
  const Shape& weights = context.input(1).shape;
  const Window window = convolution_window(context);
  const int64_t groups = context.attributes().integer("group", 1);
  if (weights[0] / groups >= kFewOutputs || window.axes.size() > 2) return false;
  const bool has_w_zero = context.has_input(kInputs.weights_zero);
  Planes p{.axes = {},
           .images = context.input(0).shape[0],
           .channels = channels_of(context),
           .groups = groups,
           .outputs = weights[0],
           .x_signed = context.input(0).dtype == DType::kInt8,
           .w_signed = context.input(1).dtype == DType::kInt8,
           .has_x_zero = context.has_input(kInputs.x_zero),
           .has_w_zero = has_w_zero,
           .w_zero_each = has_w_zero && context.input(kInputs.weights_zero).shape.elements() != 1};
  std::copy(window.axes.begin(), window.axes.end(),
            p.axes.end() - static_cast<int64_t>(window.axes.size()));
  context.emit(run_planes, p);
  return true;
}

void plan(PlanContext& context) {
  if (plan_planes(context)) return;
  const Shape& weights = context.input(1).shape;
  const int64_t depth = weights.elements(1, weights.rank());
  if (!context.is_constant(1) || depth == 0 || depth > kMaxCentredDepth) return;
  const int64_t groups = context.attributes().integer("group", 1);
  const bool has_w_zero = context.has_input(kInputs.weights_zero);
  Parameters p{
      .window = convolution_window(context),
      .images = context.input(0).shape[0],
      .channels = channels_of(context),
      .groups = groups,
      .group_outputs = weights[0] / groups,
      .depth = depth,
      .x_signed = context.input(0).dtype == DType::kInt8,
      .w_signed = context.input(1).dtype == DType::kInt8,
      .has_x_zero = context.has_input(kInputs.x_zero),
      .has_w_zero = has_w_zero,
      .w_zero_each = has_w_zero && context.input(kInputs.weights_zero).shape.elements() != 1,
      .kernels = &context.kernels(),
      .weights = PackedCodes::of_node(context, context.constant(1), groups, weights[0] / groups,
                                      depth, /*transposed=*/false),
      .rows = tile_rows(depth),
      .acc_offset = 0};
  p.rows = std::min(p.rows, p.window.outputs());
  p.acc_offset = scratch_bytes(p.rows * depth);
  const int64_t columns = std::min(p.group_outputs, kBlockColumns);
  context.scratch(p.acc_offset +
                  scratch_bytes(p.rows * columns * static_cast<int64_t>(sizeof(int32_t))));
  context.emit(run, std::move(p));
}

SANDERLING_OPERATOR(conv_integer)({.name = "ConvInteger",
                                   .since_opset = 10,
                                   .min_inputs = 2,
                                   .max_inputs = 4,
                                   .infer = infer,
                                   .reference = reference,
                                   .plan = plan,
                                   .macs = convolution_macs});

}  // namespace
}  // namespace sanderling
