#include "ops/fold_inputs.h"

namespace sanderling {
namespace {

// A NaN on either side stays, as in NumPy's maximum. No branch, so that loops vectorize.
struct Larger {
  template <typename T>
  T operator()(T a, T b) const {
    return (a > b) | (a != a) ? a : b;
  }
};

void plan(PlanContext& context) { plan_fold(context, Larger{}); }

SANDERLING_OPERATOR(max)({.name = "Max",
                          .since_opset = 7,
                          .max_inputs = SIZE_MAX,
                          .infer = infer_number_fold,
                          .reference = reference_number_fold<Larger>,
                          .plan = plan,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
