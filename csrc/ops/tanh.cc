#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::tanh(x); });
}

void plan(PlanContext& context) {
  plan_unary_kernel(context, context.kernels().tanh_f32, "tanh_f32");
}

SANDERLING_OPERATOR(tanh)({.name = "Tanh",
                           .since_opset = 7,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan,
                           .elementwise = true});

}  // namespace
}  // namespace sanderling
