#include "kernels/table.h"
#include "ops/quantization.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kInt32});
  context.set_output(0, DType::kUInt8, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  const Quantization& quantization = context.output_quantization(0);
  const bool floats = context.input(0).dtype == DType::kFloat32;
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i) {
    const float x =
        floats ? context.in<float>(0)[i] : static_cast<float>(context.in<int32_t>(0)[i]);
    context.out<uint8_t>(0)[i] = nearest_code(x, quantization);
  }
}

void plan(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    plan_stream(context, context.kernels().quantize_f32u8, context.output_quantization(0));
}

SANDERLING_OPERATOR(quantize)({.name = "Quantize",
                               .infer = infer,
                               .reference = reference,
                               .plan = plan,
                               .elementwise = true});

}  // namespace
}  // namespace sanderling
