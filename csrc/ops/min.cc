#include "ops/fold_inputs.h"

namespace sanderling {
namespace {

// A NaN on either side stays, as in NumPy's minimum. No branch, so that loops vectorize.
struct Smaller {
  template <typename T>
  T operator()(T a, T b) const {
    return (a < b) | (a != a) ? a : b;
  }
};

void plan(PlanContext& context) { plan_fold(context, Smaller{}); }

SANDERLING_OPERATOR(min)({.name = "Min",
                          .since_opset = 7,
                          .max_inputs = SIZE_MAX,
                          .infer = infer_number_fold,
                          .reference = reference_number_fold<Smaller>,
                          .plan = plan,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
