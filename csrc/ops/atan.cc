#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 1 ulp
float atan_element(float x) { return std::atan(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::atan(x); });
}

SANDERLING_OPERATOR(atan)({.name = "Atan",
                           .since_opset = 7,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan_unary_function<atan_element>,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
