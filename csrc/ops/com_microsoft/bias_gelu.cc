#include "ops/com_microsoft/biased.h"
#include "ops/gelu.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_biased(context, [](double x) { return gelu(x); });
}

void plan(PlanContext& context) { plan_biased(context, context.kernels().gelu_f32, "gelu_f32"); }

SANDERLING_OPERATOR(bias_gelu)({.name = "com.microsoft.BiasGelu",
                                .since_opset = 1,
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .infer = infer_biased,
                                .reference = reference,
                                .plan = plan,
                                .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
