#include "ops/running_total.h"

namespace sanderling {
namespace {

struct Combine {
  static constexpr int kNothing = 0;
  template <typename Total>
  Total operator()(Total a, Total b) const {
    return a + b;
  }
};

SANDERLING_OPERATOR(cum_sum)({.name = "CumSum",
                              .since_opset = 11,
                              .min_inputs = 2,
                              .max_inputs = 2,
                              .infer = infer_running_total,
                              .reference = reference_running_total<Combine>,
                              .plan = plan_running_total<Combine>});

}  // namespace
}  // namespace sanderling
