#include "ops/binary_codes.h"

namespace sanderling {
namespace {

BinaryU8 parameters(const InferContext& context) {
  BinaryU8 p = binary_codes(context);
  // The product of two float32 is exact in double, so that the scale rounds twice at most. It goes
  // with either operand.
  const double product = static_cast<double>(context.input_quantization(0).scale) *
                         static_cast<double>(context.input_quantization(1).scale);
  p.a_scale = static_cast<float>(product / context.output_quantization(0).scale);
  p.b_scale = p.a_scale;
  return p;
}

void reference(const ReferenceContext& context) {
  const BinaryU8 p = parameters(context);
  reference_binary_codes(
      context, p, [&](int32_t a, int32_t b) { return static_cast<float>(a * b) * p.a_scale; });
}

void plan(PlanContext& context) {
  plan_binary_codes(context, context.kernels().mul_u8, parameters(context));
}

SANDERLING_OPERATOR(qmul)({.name = "QMul",
                           .min_inputs = 2,
                           .max_inputs = 2,
                           .infer = infer_binary_codes,
                           .reference = reference,
                           .plan = plan,
                           .elementwise = true});

}  // namespace
}  // namespace sanderling
