#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 2 ulp
float acosh_element(float x) { return std::acosh(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::acosh(x); });
}

SANDERLING_OPERATOR(acosh)({.name = "Acosh",
                            .since_opset = 9,
                            .infer = infer_unary_function,
                            .reference = reference,
                            .plan = plan_unary_function<acosh_element>,
                            .elementwise = true,
                            .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
