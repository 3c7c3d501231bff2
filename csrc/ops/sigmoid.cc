#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return 1.0 / (1.0 + std::exp(-x)); });
}

void plan(PlanContext& context) {
  plan_unary_kernel(context, context.kernels().sigmoid_f32, "sigmoid_f32");
}

SANDERLING_OPERATOR(sigmoid)({.name = "Sigmoid",
                              .since_opset = 7,
                              .infer = infer_unary_function,
                              .reference = reference,
                              .plan = plan,
                              .elementwise = true});

}  // namespace
}  // namespace sanderling
