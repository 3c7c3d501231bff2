#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::tanh(x); });
}

SANDERLING_OPERATOR(tanh)({.name = "Tanh",
                           .since_opset = 7,
                           .infer = infer_unary_function,
                           .reference = reference,
                           .plan = plan_unary_function<tanh_float>,
                           .elementwise = true});

}  // namespace
}  // namespace sanderling
