// The lowering pass makes Gemm and the activation of it, which have kernels.
#include "ops/broadcast.h"
#include "ops/com_microsoft/fused_activation.h"
#include "ops/gemm_extents.h"

namespace sanderling {
namespace {

FusedActivation activation(const InferContext& context) {
  std::vector<float> numbers;
  if (context.attributes().has("activation_alpha")) {
    numbers.push_back(context.attributes().number("activation_alpha", 0.0f));
    if (context.attributes().has("activation_beta"))
      numbers.push_back(context.attributes().number("activation_beta", 0.0f));
  }
  return fused_activation(context, numbers);
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, 1);
  activation(context);
  const GemmExtents e = gemm_extents(context);
  const Shape result = checked_shape(context, {e.rows, e.columns});
  if (context.has_input(2)) {
    require_same_dtype(context, 0, 2);
    check_gemm_c(context, 2, result);
  }
  context.set_output(0, context.input(0).dtype, result);
}

template <typename T>
void multiply(const ReferenceContext& context) {
  const GemmExtents e = gemm_extents(context);
  const FusedActivation activate = activation(context);
  const double alpha = context.attributes().number("alpha", 1.0f);
  const double beta = context.attributes().number("beta", 1.0f);
  const Shape& shape = context.output(0).shape;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const T* a = context.in<T>(0) + i / e.columns * e.a_row;
    const T* b = context.in<T>(1) + i % e.columns * e.b_column;
    double sum = 0.0;
    for (int64_t k = 0; k < e.depth; ++k)
      sum += static_cast<double>(a[k * e.a_depth]) * static_cast<double>(b[k * e.b_depth]);
    sum *= alpha;
    if (context.has_input(2))
      sum += beta * static_cast<double>(
                        context.in<T>(2)[broadcast_offset(shape, context.input(2).shape, i)]);
    context.out<T>(0)[i] = static_cast<T>(activate(sum));
  }
}

void reference(const ReferenceContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    multiply<float>(context);
  else
    multiply<double>(context);
}

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * gemm_extents(context).depth;
}

SANDERLING_OPERATOR(fused_gemm)({.name = "com.microsoft.FusedGemm",
                                 .since_opset = 1,
                                 .min_inputs = 2,
                                 .max_inputs = 3,
                                 .infer = infer,
                                 .reference = reference,
                                 .macs = macs});

}  // namespace
}  // namespace sanderling
