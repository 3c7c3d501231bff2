#include <limits>

#include "ops/convert.h"
#include "ops/map_elements.h"

namespace sanderling {
namespace {

// Which infinities count.
struct IsInfinity {
  explicit IsInfinity(const InferContext& context)
      : positive(context.attributes().integer("detect_positive", 1) != 0),
        negative(context.attributes().integer("detect_negative", 1) != 0) {}
  template <typename T>
  bool operator()(T x) const {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    return (positive & (x == kInfinity)) | (negative & (x == -kInfinity));
  }

  bool positive, negative;
};

void infer(InferContext& context) {
  const DType dtype = context.input(0).dtype;
  if (!is_float(dtype)) context.error("input 0 is ", name_of(dtype), ", expected floats");
  IsInfinity{context};
  context.set_output(0, DType::kBool, context.input(0).shape);
}

// Small floats are looked at as float32, which has all of their values.
void reference(const ReferenceContext& context) {
  const auto holds = IsInfinity(context);
  visit_element(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (is_small_float<T> || std::is_floating_point_v<T>)
      for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
        context.out<bool>(0)[i] = holds(widen_element(context.in<T>(0)[i]));
  });
}

void plan(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    emit_map<float, bool>(context, IsInfinity(context), kStreamGrain);
}

SANDERLING_OPERATOR(is_inf)({.name = "IsInf",
                             .since_opset = 10,
                             .infer = infer,
                             .reference = reference,
                             .plan = plan,
                             .elementwise = true,
                             .nan = NanRule::kMeans});

}  // namespace
}  // namespace sanderling
