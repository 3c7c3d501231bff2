#include "ops/com_microsoft/biased.h"
#include "ops/gelu.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_biased(context, [](double x) { return tanh_gelu(x); });
}

void plan(PlanContext& context) {
  plan_biased(context, context.kernels().tanh_gelu_f32, "tanh_gelu_f32");
}

SANDERLING_OPERATOR(fast_gelu)({.name = "com.microsoft.FastGelu",
                                .since_opset = 1,
                                .max_inputs = 2,
                                .infer = infer_biased,
                                .reference = reference,
                                .plan = plan,
                                .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
