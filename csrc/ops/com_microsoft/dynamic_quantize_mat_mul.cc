// The lowering pass makes DynamicQuantizeLinear and MatMulIntegerToFloat of it, which have kernels.
#include "ops/code_matrices.h"
#include "ops/dynamic_range.h"

namespace sanderling {
namespace {

constexpr size_t kBScale = 2, kBZero = 3, kBias = 4;

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32});
  require_codes(context, 1);
  const CodeMatrices matrices = code_matrices(context, 0, 1);
  require_parameters(context, context.input(1).dtype, kBScale, kBZero, matrices.columns);
  if (context.has_input(kBias)) {
    require_dtype(context, kBias, {DType::kFloat32});
    if (context.input(kBias).shape != Shape{matrices.columns})
      context.error("the bias has shape ", context.input(kBias).shape.to_string(), ", expected [",
                    matrices.columns, "]");
  }
  context.set_output(0, DType::kFloat32, matrices.result);
}

void reference(const ReferenceContext& context) {
  const CodeMatrices m = code_matrices(context, 0, 1);
  const Quantization a = dynamic_range(context.in<float>(0), context.input(0).shape.elements());
  const CodeInput b_codes(context, 1);
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i) {
    const int64_t matrix = i / (m.rows * m.columns), column = i % m.columns;
    const float* row = context.in<float>(0) + m.a_at(matrix) + i / m.columns % m.rows * m.depth;
    const CodeParameters b = code_parameters(context, kBScale, kBZero, column);
    int64_t sum = 0;
    for (int64_t k = 0; k < m.depth; ++k)
      sum += static_cast<int64_t>(nearest_code(row[k], a) - a.zero_point) *
             (b_codes[m.b_at(matrix) + k * m.columns + column] - b.zero_point);
    const float product = static_cast<float>(low_bits(sum)) * (a.scale * b.scale);
    context.out<float>(0)[i] =
        context.has_input(kBias) ? product + context.in<float>(kBias)[column] : product;
  }
}

SANDERLING_OPERATOR(dynamic_quantize_mat_mul)({.name = "com.microsoft.DynamicQuantizeMatMul",
                                               .since_opset = 1,
                                               .min_inputs = 3,
                                               .max_inputs = 5,
                                               .infer = infer,
                                               .reference = reference});

}  // namespace
}  // namespace sanderling
