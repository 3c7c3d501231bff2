#include <cmath>

#include "ops/element_types.h"
#include "ops/map_elements.h"
#include "ops/node_checks.h"

namespace sanderling {
namespace {

// The lowest integer has no positive: it stays, as in NumPy.
template <typename T>
T absolute(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fabs(x);
  else if constexpr (std::is_signed_v<T>)
    return x < 0 ? wrapping(T{0}, x, [](auto zero, auto y) { return zero - y; }) : x;
  else
    return x;
}

void infer(InferContext& context) {
  require_number(context, 0);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
      context.out<T>(0)[i] = absolute(context.in<T>(0)[i]);
  });
}

void plan(PlanContext& context) {
  switch (context.input(0).dtype) {
    case DType::kFloat32:
      return emit_map<float>(context, [](float x) { return absolute(x); }, kStreamGrain);
    case DType::kInt32:
      return emit_map<int32_t>(context, [](int32_t x) { return absolute(x); }, kStreamGrain);
    case DType::kInt64:
      return emit_map<int64_t>(context, [](int64_t x) { return absolute(x); }, kStreamGrain);
    default:
      return;
  }
}

SANDERLING_OPERATOR(abs)({.name = "Abs",
                          .since_opset = 7,
                          .infer = infer,
                          .reference = reference,
                          .plan = plan,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
