#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 2 ulp
float asinh_element(float x) { return std::asinh(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::asinh(x); });
}

SANDERLING_OPERATOR(asinh)({.name = "Asinh",
                            .since_opset = 9,
                            .infer = infer_unary_function,
                            .reference = reference,
                            .plan = plan_unary_function<asinh_element>,
                            .elementwise = true,
                            .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
