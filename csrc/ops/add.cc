#include "ops/binary.h"

namespace sanderling {
namespace {

constexpr auto operation = [](auto a, auto b) {
  return wrapping(a, b, [](auto x, auto y) { return x + y; });
};

void reference(const ReferenceContext& context) { reference_binary(context, operation); }

void plan(PlanContext& context) { plan_binary(context, context.kernels().add_f32, operation); }

SANDERLING_OPERATOR(add)({.name = "Add",
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
