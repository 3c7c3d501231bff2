#include <functional>

#include "ops/binary.h"

namespace sanderling {
namespace {

constexpr auto product_of = [](auto a, auto b) { return wrapping(a, b, std::multiplies<>()); };

void reference(const ReferenceContext& context) { reference_binary(context, product_of); }

void plan(PlanContext& context) { plan_binary(context, context.kernels().mul_f32, product_of); }

SANDERLING_OPERATOR(mul)({.name = "Mul",
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
