#include "ops/unary_function.h"

namespace sanderling {
namespace {

float reciprocal_element(float x) { return 1.0f / x; }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return 1.0 / x; });
}

SANDERLING_OPERATOR(reciprocal)({.name = "Reciprocal",
                                 .since_opset = 7,
                                 .infer = infer_unary_function,
                                 .reference = reference,
                                 .plan = plan_unary_function<reciprocal_element>,
                                 .elementwise = true,
                                 .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
