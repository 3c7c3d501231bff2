#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 1 ulp
float acos_element(float x) { return std::acos(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::acos(x); });
}

SANDERLING_OPERATOR(acos)({.name = "Acos",
                           .since_opset = 7,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan_unary_function<acos_element>,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
