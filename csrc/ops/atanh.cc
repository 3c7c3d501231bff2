#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 2 ulp
float atanh_element(float x) { return std::atanh(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::atanh(x); });
}

SANDERLING_OPERATOR(atanh)({.name = "Atanh",
                            .since_opset = 9,
                            .infer = infer_unary_function,
                            .reference = reference,
                            .plan = plan_unary_function<atanh_element>,
                            .elementwise = true,
                            .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
