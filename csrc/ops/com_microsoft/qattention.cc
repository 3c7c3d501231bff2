// The lowering pass makes MatMulIntegerToFloat and MultiHeadAttention of it, which have kernels,
// unless there is a past or a present.
#include "ops/code_matrices.h"
#include "ops/com_microsoft/projected_attention.h"

namespace sanderling {
namespace {

constexpr size_t kX = 0, kWeights = 1, kBias = 2, kXScale = 3, kScale = 4, kMask = 5, kXZero = 6,
                 kZero = 7, kPast = 8;
constexpr ProjectedAttention kInputs{.bias = kBias, .mask = kMask, .past = kPast};
constexpr ProductInputs kProduct{.a = kX, .b = kWeights, .a_zero = kXZero, .b_zero = kZero};

void infer(InferContext& context) {
  require_codes(context, kX);
  require_codes(context, kWeights);
  infer_projected(context, kInputs);
  require_parameters(context, context.input(kX).dtype, kXScale, kXZero);
  require_parameters(context, context.input(kWeights).dtype, kScale, kZero,
                     context.input(kWeights).shape[1]);
}

void reference(const ReferenceContext& context) {
  const CodeMatrices matrices = code_matrices(context, kX, kWeights);
  const double x_scale = static_cast<double>(context.in<float>(kXScale)[0]);
  std::vector<double> product;
  for (int64_t i = 0; i < matrices.result.elements(); ++i) {
    const int64_t column = i % matrices.columns;
    const double scale =
        x_scale * static_cast<double>(code_parameters(context, kScale, kLeftOut, column).scale);
    product.push_back(static_cast<double>(code_product(context, kProduct, matrices, i)) * scale +
                      static_cast<double>(context.in<float>(kBias)[column]));
  }
  reference_projected(context, kInputs, product);
}

int64_t macs(const InferContext& context, const TensorType& /*output*/) {
  return macs_of_projected(context, kInputs);
}

SANDERLING_OPERATOR(qattention)({.name = "com.microsoft.QAttention",
                                 .since_opset = 1,
                                 .min_inputs = 5,
                                 .max_inputs = 9,
                                 .max_outputs = 2,
                                 .infer = infer,
                                 .reference = reference,
                                 .macs = macs});

}  // namespace
}  // namespace sanderling
