#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

float round_element(float x) { return round_float(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::nearbyint(x); });
}

SANDERLING_OPERATOR(round)({.name = "Round",
                            .since_opset = 11,
                            .infer = infer_unary_function,
                            .reference = reference,
                            .plan = plan_unary_function<round_element>,
                            .elementwise = true,
                            .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
