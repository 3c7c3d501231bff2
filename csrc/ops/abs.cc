#include <cmath>

#include "ops/unary_number.h"

namespace sanderling {
namespace {

// The lowest integer has no positive: it stays, as in NumPy.
struct Absolute {
  template <typename T>
  T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>)
      return std::fabs(x);
    else if constexpr (std::is_signed_v<T>)
      return x < T{0} ? negated(x) : x;
    else
      return x;
  }
};

void infer(InferContext& context) {
  require_number(context, 0);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

SANDERLING_OPERATOR(abs)({.name = "Abs",
                          .since_opset = 7,
                          .infer = infer,
                          .reference = reference_unary_number<Absolute>,
                          .plan = plan_unary_number<Absolute>,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
