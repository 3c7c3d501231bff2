#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

float exp_element(float x) { return exp_float(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::exp(x); });
}

SANDERLING_OPERATOR(exp)({.name = "Exp",
                          .since_opset = 7,
                          .infer = infer_unary_function,
                          .reference = reference,
                          .plan = plan_unary_function<exp_element>,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
