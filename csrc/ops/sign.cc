#include "ops/unary_number.h"

namespace sanderling {
namespace {

// NaN stays NaN.
struct Sign {
  template <typename T>
  T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>)
      if (x != x) return x;
    return static_cast<T>((x > T{0}) - (x < T{0}));
  }
};

void infer(InferContext& context) {
  require_number(context, 0);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

SANDERLING_OPERATOR(sign)({.name = "Sign",
                           .since_opset = 9,
                           .infer = infer,
                           .reference = reference_unary_number<Sign>,
                           .plan = plan_unary_number<Sign>,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
