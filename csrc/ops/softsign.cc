#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

float softsign_element(float x) { return x / (1.0f + std::fabs(x)); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return x / (1.0 + std::fabs(x)); });
}

SANDERLING_OPERATOR(softsign)({.name = "Softsign",
                               .since_opset = 7,
                               .infer = infer_unary_function,
                               .reference = reference,
                               .plan = plan_unary_function<softsign_element>,
                               .elementwise = true,
                               .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
