#include "ops/gelu.h"

#include "ops/unary_function.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return gelu(x); });
}

SANDERLING_OPERATOR(gelu)({.name = "com.microsoft.Gelu",
                           .since_opset = 1,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan_unary_function<gelu>,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
