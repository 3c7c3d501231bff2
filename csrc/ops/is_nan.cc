#include "ops/convert.h"
#include "ops/map_elements.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  const DType dtype = context.input(0).dtype;
  if (!is_float(dtype)) context.error("input 0 is ", name_of(dtype), ", expected floats");
  context.set_output(0, DType::kBool, context.input(0).shape);
}

// Small floats are looked at as float32, which has all of their values.
void reference(const ReferenceContext& context) {
  const auto holds = [](auto x) { return x != x; };
  visit_element(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (is_small_float<T> || std::is_floating_point_v<T>)
      for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
        context.out<bool>(0)[i] = holds(widen_element(context.in<T>(0)[i]));
  });
}

void plan(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    emit_map<float, bool>(context, [](auto x) { return x != x; }, kStreamGrain);
}

SANDERLING_OPERATOR(is_nan)({.name = "IsNaN",
                             .since_opset = 9,
                             .infer = infer,
                             .reference = reference,
                             .plan = plan,
                             .elementwise = true,
                             .nan = NanRule::kMeans});

}  // namespace
}  // namespace sanderling
