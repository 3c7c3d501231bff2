#include "ops/reduction.h"

namespace sanderling {
namespace {

constexpr int64_t kAxesAreInputSince = 13;

template <typename T>
struct Sum {
  using Total = WideTotal<T>;
  static constexpr bool kIsSum = true;
  static constexpr Total nothing() { return 0; }
  static Total add(Total total, T x) { return total + widen_term(x); }
  static Total join(Total a, Total b) { return a + b; }
  static T result(Total total, int64_t /*count*/) { return narrow_total<T>(total); }
};

void infer(InferContext& context) { infer_reduction(context, kAxesAreInputSince); }

void reference(const ReferenceContext& context) {
  reference_reduction<Sum>(context, kAxesAreInputSince);
}

void plan(PlanContext& context) { plan_reduction<Sum>(context, kAxesAreInputSince); }

SANDERLING_OPERATOR(reduce_sum)({.name = "ReduceSum",
                                 .since_opset = 7,
                                 .max_inputs = 2,
                                 .infer = infer,
                                 .reference = reference,
                                 .plan = plan});

}  // namespace
}  // namespace sanderling
