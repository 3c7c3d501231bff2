#include "ops/element_types.h"
#include "ops/map_elements.h"
#include "ops/node_checks.h"

namespace sanderling {
namespace {

template <typename T>
T negative(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return -x;
  else
    return wrapping(T{0}, x, [](auto zero, auto y) { return zero - y; });
}

void infer(InferContext& context) {
  require_dtype(context, 0,
                {DType::kFloat32, DType::kFloat64, DType::kInt8, DType::kInt16, DType::kInt32,
                 DType::kInt64});
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
      context.out<T>(0)[i] = negative(context.in<T>(0)[i]);
  });
}

void plan(PlanContext& context) {
  switch (context.input(0).dtype) {
    case DType::kFloat32:
      return emit_map<float>(context, [](float x) { return negative(x); }, kStreamGrain);
    case DType::kInt32:
      return emit_map<int32_t>(context, [](int32_t x) { return negative(x); }, kStreamGrain);
    case DType::kInt64:
      return emit_map<int64_t>(context, [](int64_t x) { return negative(x); }, kStreamGrain);
    default:
      return;
  }
}

SANDERLING_OPERATOR(neg)({.name = "Neg",
                          .since_opset = 7,
                          .infer = infer,
                          .reference = reference,
                          .plan = plan,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
