#include "ops/binary_codes.h"

namespace sanderling {
namespace {

BinaryU8 parameters(const InferContext& context) {
  const Quantization& y = context.output_quantization(0);
  return sum_of_codes_parameters(context.input_quantization(0), context.input_quantization(1), y,
                                 code_range(context, y),
                                 context.attributes().integer("subtract", 0) != 0 ? -1.0 : 1.0);
}

void reference(const ReferenceContext& context) {
  const BinaryU8 p = parameters(context);
  reference_binary_codes(context, p, [&](int32_t a, int32_t b) { return sum_in_steps(a, b, p); });
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
