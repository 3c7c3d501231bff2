#include <functional>

#include "ops/binary.h"

namespace sanderling {
namespace {

constexpr auto sum_of = [](auto a, auto b) { return wrapping(a, b, std::plus<>()); };

void reference(const ReferenceContext& context) { reference_binary(context, sum_of); }

void plan(PlanContext& context) { plan_binary(context, context.kernels().add_f32, sum_of); }

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
