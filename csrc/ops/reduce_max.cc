#include <limits>

#include "ops/reduction.h"

namespace sanderling {
namespace {

// A NaN wins over all numbers.
template <typename T>
struct Largest {
  using Total = T;
  static constexpr Total nothing() {
    return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                : std::numeric_limits<T>::lowest();
  }
  // In two selections, the first of which is one instruction: elements are unpredictable, NaN rare.
  static Total add(Total total, T x) {
    const T better = x > total ? x : total;
    return x != x ? x : better;
  }
  static Total join(Total a, Total b) { return add(a, b); }
  static T result(Total total, int64_t /*count*/) { return total; }
};

void infer(InferContext& context) { infer_extremum(context); }

void reference(const ReferenceContext& context) {
  reference_reduction<Largest>(context, kReductionAxesAreInputSince);
}

void plan(PlanContext& context) { plan_reduction<Largest>(context, kReductionAxesAreInputSince); }

SANDERLING_OPERATOR(reduce_max)({.name = "ReduceMax",
                                 .since_opset = 7,
                                 .max_inputs = 2,
                                 .infer = infer,
                                 .reference = reference,
                                 .plan = plan});

}  // namespace
}  // namespace sanderling
