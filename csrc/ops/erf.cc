#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::erf(x); });
}

void plan(PlanContext& context) {
  plan_unary_kernel(context, context.kernels().erf_f32, "erf_f32");
}

SANDERLING_OPERATOR(erf)({.name = "Erf",
                          .since_opset = 9,
                          .infer = infer_unary_function,
                          .reference = reference,
                          .plan = plan,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
