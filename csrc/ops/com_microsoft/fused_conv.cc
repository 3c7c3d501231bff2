// The lowering pass makes Conv, Add and the activation of it, which have kernels.
#include "ops/com_microsoft/fused_activation.h"
#include "ops/convolution.h"
#include "ops/node_checks.h"

namespace sanderling {
namespace {

constexpr size_t kSummand = 3;

FusedActivation activation(const InferContext& context) {
  return fused_activation(context, context.attributes().numbers("activation_params", {}));
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  for (size_t i = 1; i <= kSummand; ++i)
    if (i == 1 || context.has_input(i)) require_same_dtype(context, 0, i);
  activation(context);
  infer_convolution(context, context.input(0).dtype);
  if (context.has_input(kSummand) && context.input(kSummand).shape != context.output_type(0).shape)
    context.error("Z has shape ", context.input(kSummand).shape.to_string(), ", expected ",
                  context.output_type(0).shape.to_string());
}

template <typename T>
void convolve(const ReferenceContext& context) {
  const Window window = convolution_window(context);
  const FusedActivation activate = activation(context);
  const Shape& weights = context.input(1).shape;
  const int64_t outputs = weights[0], group_inputs = weights[1], taps = window.taps();
  const int64_t group_outputs = outputs / context.attributes().integer("group", 1);
  const ImageLayout x{is_channels_last(context), channels_of(context), window.inputs()};
  const ImageLayout y{is_channels_last(context), outputs, window.outputs()};
  for (int64_t n = 0; n < context.input(0).shape[0]; ++n) {
    for (int64_t p = 0; p < window.outputs(); ++p) {
      const Position at = window.position(p);
      for (int64_t o = 0; o < outputs; ++o) {
        const int64_t i = y.at(n, o, p);
        double sum = context.has_input(2) ? static_cast<double>(context.in<T>(2)[o]) : 0.0;
        for_each_tap(window.axes, at.data(), [&](int64_t tap, int64_t pixel) {
          for (int64_t c = 0; c < group_inputs; ++c)
            sum += static_cast<double>(
                       context.in<T>(0)[x.at(n, o / group_outputs * group_inputs + c, pixel)]) *
                   static_cast<double>(context.in<T>(1)[(o * group_inputs + c) * taps + tap]);
        });
        if (context.has_input(kSummand)) sum += static_cast<double>(context.in<T>(kSummand)[i]);
        context.out<T>(0)[i] = static_cast<T>(activate(sum));
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

SANDERLING_OPERATOR(fused_conv)({.name = "com.microsoft.FusedConv",
                                 .since_opset = 1,
                                 .min_inputs = 2,
                                 .max_inputs = 4,
                                 .infer = infer,
                                 .reference = reference,
                                 .macs = convolution_macs});

}  // namespace
}  // namespace sanderling
