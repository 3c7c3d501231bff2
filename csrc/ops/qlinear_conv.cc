// Where the weights and all scales are constant, the lowering pass makes a QConv of it.
#include "ops/code_convolution.h"

namespace sanderling {
namespace {

constexpr size_t kXScale = 1, kXZero = 2, kWeights = 3, kWeightsScale = 4, kWeightsZero = 5,
                 kYScale = 6, kYZero = 7, kBias = 8;

void infer(InferContext& context) {
  for (size_t codes : {size_t{0}, kWeights, kYZero}) require_codes(context, codes);
  if (context.has_input(kBias)) require_dtype(context, kBias, {DType::kInt32});
  const DType dtype = context.input(kYZero).dtype;
  infer_convolution(context, dtype, kWeights, kBias);
  require_parameters(context, context.input(0).dtype, kXScale, kXZero);
  require_parameters(context, context.input(kWeights).dtype, kWeightsScale, kWeightsZero,
                     context.input(kWeights).shape[0]);
  require_parameters(context, dtype, kYScale, kYZero);
}

void reference(const ReferenceContext& context) {
  const CodeParameters x = code_parameters(context, kXScale, kXZero);
  const CodeParameters y = code_parameters(context, kYScale, kYZero);
  const int32_t* bias = context.has_input(kBias) ? context.in<int32_t>(kBias) : nullptr;
  for_each_code_sum(
      context, {kXZero, kWeights, kWeightsZero}, [&](int64_t i, int64_t o, int64_t sum) {
        const CodeParameters w = code_parameters(context, kWeightsScale, kWeightsZero, o);
        const double step = static_cast<double>(x.scale) * static_cast<double>(w.scale);
        const auto scale = static_cast<float>(step / static_cast<double>(y.scale));
        put_code(context, i, static_cast<float>(sum + (bias ? bias[o] : 0)) * scale, y.zero_point);
      });
}

int64_t macs(const InferContext& context, const TensorType& output) {
  const Shape& weights = context.input(kWeights).shape;
  return output.shape.elements() * weights.elements(1, weights.rank());
}

SANDERLING_OPERATOR(qlinear_conv)({.name = "QLinearConv",
                                   .since_opset = 10,
                                   .min_inputs = 8,
                                   .max_inputs = 9,
                                   .infer = infer,
                                   .reference = reference,
                                   .macs = macs});

}  // namespace
}  // namespace sanderling
