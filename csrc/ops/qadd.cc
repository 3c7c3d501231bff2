#include "ops/binary_codes.h"

namespace sanderling {
namespace {

// Scales relative to the output's; the quotients round once, from double.
BinaryU8 parameters(const InferContext& context) {
  BinaryU8 p = binary_codes(context);
  const double y_scale = context.output_quantization(0).scale;
  const double sign = context.attributes().integer("subtract", 0) != 0 ? -1.0 : 1.0;
  p.a_scale = static_cast<float>(context.input_quantization(0).scale / y_scale);
  p.b_scale = static_cast<float>(sign * context.input_quantization(1).scale / y_scale);
  return p;
}

void reference(const ReferenceContext& context) {
  const BinaryU8 p = parameters(context);
  reference_binary_codes(context, p, [&](int32_t a, int32_t b) {
    return static_cast<float>(a) * p.a_scale + static_cast<float>(b) * p.b_scale;
  });
}

void plan(PlanContext& context) {
  plan_binary_codes(context, context.kernels().add_u8, parameters(context));
}

SANDERLING_OPERATOR(qadd)({.name = "QAdd",
                           .min_inputs = 2,
                           .max_inputs = 2,
                           .infer = infer_binary_codes,
                           .reference = reference,
                           .plan = plan,
                           .elementwise = true});

}  // namespace
}  // namespace sanderling
