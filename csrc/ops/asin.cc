#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 1 ulp
float asin_element(float x) { return std::asin(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::asin(x); });
}

SANDERLING_OPERATOR(asin)({.name = "Asin",
                           .since_opset = 7,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan_unary_function<asin_element>,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
