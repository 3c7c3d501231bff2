#include "ops/gelu.h"

#include "ops/unary_function.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return gelu(x); });
}

void plan(PlanContext& context) {
  plan_unary_kernel(context, context.kernels().gelu_f32, "gelu_f32");
}

SANDERLING_OPERATOR(gelu)({.name = "com.microsoft.Gelu",
                           .since_opset = 1,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
