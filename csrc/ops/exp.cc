#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::exp(x); });
}

void plan(PlanContext& context) {
  plan_unary_kernel(context, context.kernels().exp_f32, "exp_f32");
}

SANDERLING_OPERATOR(exp)({.name = "Exp",
                          .since_opset = 7,
                          .infer = infer_unary_function,
                          .reference = reference,
                          .plan = plan,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
