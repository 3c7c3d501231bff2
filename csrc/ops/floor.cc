#include <cmath>

#include "ops/unary_function.h"

namespace sanderling {
namespace {

float floor_element(float x) { return floor_float(x); }

void reference(const ReferenceContext& context) {
  reference_unary_function(context, [](double x) { return std::floor(x); });
}

SANDERLING_OPERATOR(floor)({.name = "Floor",
                            .since_opset = 7,
                            .infer = infer_unary_function,
                            .reference = reference,
                            .plan = plan_unary_function<floor_element>,
                            .elementwise = true,
                            .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
