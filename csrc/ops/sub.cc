#include "ops/binary.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_binary(
      context, [](auto a, auto b) { return wrapping(a, b, [](auto x, auto y) { return x - y; }); });
}

void plan(PlanContext& context) { plan_binary(context, context.kernels().sub_f32); }

SANDERLING_OPERATOR(sub)({.name = "Sub",
                          .since_opset = 7,
                          .min_inputs = 2,
                          .max_inputs = 2,
                          .infer = infer_binary,
                          .reference = reference,
                          .plan = plan,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
