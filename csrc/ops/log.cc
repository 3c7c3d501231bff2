#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

// glibc: within 1 ulp
float log_element(float x) { return std::log(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::log(x); });
}

SANDERLING_OPERATOR(log)({.name = "Log",
                          .since_opset = 7,
                          .infer = infer_unary_function,
                          .reference = reference,
                          .plan = plan_unary_function<log_element>,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
