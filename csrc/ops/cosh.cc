#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 2 ulp
float cosh_element(float x) { return std::cosh(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::cosh(x); });
}

SANDERLING_OPERATOR(cosh)({.name = "Cosh",
                           .since_opset = 9,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan_unary_function<cosh_element>,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
