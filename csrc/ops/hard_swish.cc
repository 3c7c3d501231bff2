#include <algorithm>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

float hard_swish_element(float x) {
  float gate = x * (1.0f / 6.0f) + 0.5f;
  gate = choose(gate < 0.0f, 0.0f, gate);
  gate = choose(gate > 1.0f, 1.0f, gate);
  return x * gate;
}

void reference(const ReferenceContext& context) {
  reference_unary_function(context,
                           [](double x) { return x * std::clamp(x / 6.0 + 0.5, 0.0, 1.0); });
}

SANDERLING_OPERATOR(hard_swish)({.name = "HardSwish",
                                 .since_opset = 14,
                                 .infer = infer_unary_function,
                                 .reference = reference,
                                 .plan = plan_unary_function<hard_swish_element>,
                                 .elementwise = true,
                                 .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
