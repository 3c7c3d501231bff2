#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

float ceil_element(float x) { return ceil_float(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::ceil(x); });
}

SANDERLING_OPERATOR(ceil)({.name = "Ceil",
                           .since_opset = 7,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan_unary_function<ceil_element>,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
