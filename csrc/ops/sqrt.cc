#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

float sqrt_element(float x) { return std::sqrt(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::sqrt(x); });
}

SANDERLING_OPERATOR(sqrt)({.name = "Sqrt",
                           .since_opset = 7,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan_unary_function<sqrt_element>,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
