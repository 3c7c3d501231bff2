#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

float erf_element(float x) { return erf_float(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::erf(x); });
}

SANDERLING_OPERATOR(erf)({.name = "Erf",
                          .since_opset = 9,
                          .infer = infer_unary_function,
                          .reference = reference,
                          .plan = plan_unary_function<erf_element>,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
