#include "ops/element_types.h"
#include "ops/map_elements.h"
#include "ops/node_checks.h"

namespace sanderling {
namespace {

// NaN stays NaN.
template <typename T>
T sign(T x) {
  if constexpr (std::is_floating_point_v<T>)
    if (x != x) return x;
  return static_cast<T>((x > T{0}) - (x < T{0}));
}

void infer(InferContext& context) {
  require_number(context, 0);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
      context.out<T>(0)[i] = sign(context.in<T>(0)[i]);
  });
}

void plan(PlanContext& context) {
  switch (context.input(0).dtype) {
    case DType::kFloat32:
      return emit_map<float>(context, [](float x) { return sign(x); }, kStreamGrain);
    case DType::kInt32:
      return emit_map<int32_t>(context, [](int32_t x) { return sign(x); }, kStreamGrain);
    case DType::kInt64:
      return emit_map<int64_t>(context, [](int64_t x) { return sign(x); }, kStreamGrain);
    default:
      return;
  }
}

SANDERLING_OPERATOR(sign)({.name = "Sign",
                           .since_opset = 9,
                           .infer = infer,
                           .reference = reference,
                           .plan = plan,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
