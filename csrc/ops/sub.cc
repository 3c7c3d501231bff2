#include <functional>

#include "ops/binary.h"

namespace sanderling {
namespace {

constexpr auto difference_of = [](auto a, auto b) { return wrapping(a, b, std::minus<>()); };

void reference(const ReferenceContext& context) { reference_binary(context, difference_of); }

void plan(PlanContext& context) { plan_binary(context, context.kernels().sub_f32, difference_of); }

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
