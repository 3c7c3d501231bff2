#include "ops/reduction.h"

namespace sanderling {
namespace {

template <typename T>
struct Multiply {
  using Total = WideTotal<T>;
  static constexpr Total nothing() { return 1; }
  static Total add(Total total, T x) { return total * widen_term(x); }
  static Total join(Total a, Total b) { return a * b; }
  static T result(Total total, int64_t /*count*/) { return narrow_total<T>(total); }
};

void infer(InferContext& context) { infer_reduction(context, kReductionAxesAreInputSince); }

void reference(const ReferenceContext& context) {
  reference_reduction<Multiply>(context, kReductionAxesAreInputSince);
}

void plan(PlanContext& context) { plan_reduction<Multiply>(context, kReductionAxesAreInputSince); }

SANDERLING_OPERATOR(reduce_prod)({.name = "ReduceProd",
                                  .since_opset = 7,
                                  .max_inputs = 2,
                                  .infer = infer,
                                  .reference = reference,
                                  .plan = plan});

}  // namespace
}  // namespace sanderling
