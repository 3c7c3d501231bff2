#include <limits>

#include "ops/binary.h"

namespace sanderling {
namespace {

// Integers truncate toward zero, as ONNX says. It leaves division by zero open, where hardware
// traps: it gives 0, and the one quotient that does not fit, lowest / -1, wraps to lowest, both as
// in NumPy.
template <typename T>
T divide(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == T{-1}) return wrapping(T{0}, a, [](auto x, auto y) { return x - y; });
    }
  }
  return static_cast<T>(a / b);
}

constexpr auto operation = [](auto a, auto b) { return divide(a, b); };

void reference(const ReferenceContext& context) { reference_binary(context, operation); }

void plan(PlanContext& context) { plan_binary(context, context.kernels().div_f32, operation); }

SANDERLING_OPERATOR(div)({.name = "Div",
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
