#include <cmath>

#include "ops/reduction.h"

namespace sanderling {
namespace {

template <typename T>
struct SumOfSizes {
  using Total = WideTotal<T>;
  static constexpr Total nothing() { return 0; }
  static Total add(Total total, T x) {
    if constexpr (std::is_floating_point_v<T>)
      return total + std::abs(widen_term(x));
    else
      return x < T{0} ? total - widen_term(x) : total + widen_term(x);
  }
  static Total join(Total a, Total b) { return a + b; }
  static T result(Total total, int64_t /*count*/) { return narrow_total<T>(total); }
};

void infer(InferContext& context) { infer_reduction(context, kReductionAxesAreInputSince); }

void reference(const ReferenceContext& context) {
  reference_reduction<SumOfSizes>(context, kReductionAxesAreInputSince);
}

void plan(PlanContext& context) {
  plan_reduction<SumOfSizes>(context, kReductionAxesAreInputSince);
}

SANDERLING_OPERATOR(reduce_l1)({.name = "ReduceL1",
                                .since_opset = 7,
                                .max_inputs = 2,
                                .infer = infer,
                                .reference = reference,
                                .plan = plan});

}  // namespace
}  // namespace sanderling
