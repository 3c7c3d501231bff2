#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 2 ulp
float sinh_element(float x) { return std::sinh(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::sinh(x); });
}

SANDERLING_OPERATOR(sinh)({.name = "Sinh",
                           .since_opset = 9,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan_unary_function<sinh_element>,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
