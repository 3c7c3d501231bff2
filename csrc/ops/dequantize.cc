#include "kernels/table.h"
#include "ops/quantization.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kUInt8});
  context.set_output(0, DType::kFloat32, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
    context.out<float>(0)[i] = real_of(context.in<uint8_t>(0)[i], context.input_quantization(0));
}

void plan(PlanContext& context) {
  plan_stream(context, context.kernels().dequantize_u8f32, context.input_quantization(0));
}

SANDERLING_OPERATOR(dequantize)({.name = "Dequantize",
                                 .infer = infer,
                                 .reference = reference,
                                 .plan = plan,
                                 .elementwise = true});

}  // namespace
}  // namespace sanderling
