#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 1 ulp
float sin_element(float x) { return std::sin(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::sin(x); });
}

SANDERLING_OPERATOR(sin)({.name = "Sin",
                          .since_opset = 7,
                          .infer = infer_unary_function,
                          .reference = reference,
                          .plan = plan_unary_function<sin_element>,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
