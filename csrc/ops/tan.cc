#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 1 ulp
float tan_element(float x) { return std::tan(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::tan(x); });
}

SANDERLING_OPERATOR(tan)({.name = "Tan",
                          .since_opset = 7,
                          .infer = infer_unary_function,
                          .reference = reference,
                          .plan = plan_unary_function<tan_element>,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
