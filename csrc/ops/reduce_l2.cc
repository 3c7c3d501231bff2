#include <cmath>

#include "ops/reduction.h"

namespace sanderling {
namespace {

// The sum of squares is double for integers too: of their sizes it is the root, not the low bits,
// that matters.
template <typename T>
struct Length {
  using Total = double;
  static constexpr Total nothing() { return 0.0; }
  static Total add(Total total, T x) {
    return total + static_cast<double>(x) * static_cast<double>(x);
  }
  static Total join(Total a, Total b) { return a + b; }
  static T result(Total total, int64_t /*count*/) { return convert_total<T>(std::sqrt(total)); }
};

void infer(InferContext& context) { infer_reduction(context, kReductionAxesAreInputSince); }

void reference(const ReferenceContext& context) {
  reference_reduction<Length>(context, kReductionAxesAreInputSince);
}

void plan(PlanContext& context) { plan_reduction<Length>(context, kReductionAxesAreInputSince); }

SANDERLING_OPERATOR(reduce_l2)({.name = "ReduceL2",
                                .since_opset = 7,
                                .max_inputs = 2,
                                .infer = infer,
                                .reference = reference,
                                .plan = plan});

}  // namespace
}  // namespace sanderling
