#include <cmath>

#include "ops/reduction.h"

namespace sanderling {
namespace {

// The logarithm of no sum is -inf.
template <typename T>
struct LogSum {
  using Total = double;
  static constexpr Total nothing() { return 0.0; }
  static Total add(Total total, T x) { return total + static_cast<double>(x); }
  static Total join(Total a, Total b) { return a + b; }
  static T result(Total total, int64_t /*count*/) { return convert_total<T>(std::log(total)); }
};

void infer(InferContext& context) { infer_reduction(context, kReductionAxesAreInputSince); }

void reference(const ReferenceContext& context) {
  reference_reduction<LogSum>(context, kReductionAxesAreInputSince);
}

void plan(PlanContext& context) { plan_reduction<LogSum>(context, kReductionAxesAreInputSince); }

SANDERLING_OPERATOR(reduce_log_sum)({.name = "ReduceLogSum",
                                     .since_opset = 7,
                                     .max_inputs = 2,
                                     .infer = infer,
                                     .reference = reference,
                                     .plan = plan});

}  // namespace
}  // namespace sanderling
