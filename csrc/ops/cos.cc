#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 1 ulp
float cos_element(float x) { return std::cos(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::cos(x); });
}

SANDERLING_OPERATOR(cos)({.name = "Cos",
                          .since_opset = 7,
                          .infer = infer_unary_function,
                          .reference = reference,
                          .plan = plan_unary_function<cos_element>,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
