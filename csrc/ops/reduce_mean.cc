#include "ops/reduction.h"

namespace sanderling {
namespace {

// Integer means truncate toward zero. The mean of nothing is NaN; 0 for integers.
template <typename T>
struct Mean {
  using Total = WideTotal<T>;
  static constexpr bool kIsSum = true;
  static constexpr Total nothing() { return 0; }
  static Total add(Total total, T x) { return total + widen_term(x); }
  static Total join(Total a, Total b) { return a + b; }
  static T result(Total total, int64_t count) {
    if constexpr (std::is_floating_point_v<T>)
      return static_cast<T>(total / static_cast<double>(count));
    else if constexpr (std::is_signed_v<T>)
      return count == 0 ? T{0} : static_cast<T>(static_cast<int64_t>(total) / count);
    else
      return count == 0 ? T{0} : static_cast<T>(total / static_cast<uint64_t>(count));
  }
};

void infer(InferContext& context) { infer_reduction(context, kReductionAxesAreInputSince); }

void reference(const ReferenceContext& context) {
  reference_reduction<Mean>(context, kReductionAxesAreInputSince);
}

void plan(PlanContext& context) { plan_reduction<Mean>(context, kReductionAxesAreInputSince); }

SANDERLING_OPERATOR(reduce_mean)({.name = "ReduceMean",
                                  .since_opset = 7,
                                  .max_inputs = 2,
                                  .infer = infer,
                                  .reference = reference,
                                  .plan = plan});

}  // namespace
}  // namespace sanderling
