#include <cmath>
#include <limits>

#include "ops/reduction.h"

namespace sanderling {
namespace {

// sum * exp(largest), so that no power overflows; a NaN stays in the sum.
struct ScaledSum {
  double largest, sum;
};

template <typename T>
struct LogSumExp {
  using Total = ScaledSum;
  static constexpr Total nothing() { return {-std::numeric_limits<double>::infinity(), 0.0}; }
  static Total add(Total total, T x) { return join(total, {static_cast<double>(x), 1.0}); }
  static Total join(Total a, Total b) {
    if (a.largest == b.largest) return {a.largest, a.sum + b.sum};  // perhaps both infinite
    const Total& high = a.largest < b.largest ? b : a;
    const Total& low = a.largest < b.largest ? a : b;
    return {high.largest, high.sum + low.sum * std::exp(low.largest - high.largest)};
  }
  static T result(Total total, int64_t /*count*/) {
    return convert_total<T>(std::log(total.sum) + total.largest);
  }
};

void infer(InferContext& context) { infer_reduction(context, kReductionAxesAreInputSince); }

void reference(const ReferenceContext& context) {
  reference_reduction<LogSumExp>(context, kReductionAxesAreInputSince);
}

void plan(PlanContext& context) { plan_reduction<LogSumExp>(context, kReductionAxesAreInputSince); }

SANDERLING_OPERATOR(reduce_log_sum_exp)({.name = "ReduceLogSumExp",
                                         .since_opset = 7,
                                         .max_inputs = 2,
                                         .infer = infer,
                                         .reference = reference,
                                         .plan = plan});

}  // namespace
}  // namespace sanderling
