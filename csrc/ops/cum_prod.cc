#include "ops/running_total.h"

namespace sanderling {
namespace {

struct Combine {
  static constexpr int kNothing = 1;
  template <typename Total>
  Total operator()(Total a, Total b) const {
    return a * b;
  }
};

SANDERLING_OPERATOR(cum_prod)({.name = "CumProd",
                               .since_opset = 26,
                               .min_inputs = 2,
                               .max_inputs = 2,
                               .infer = infer_running_total,
                               .reference = reference_running_total<Combine>,
                               .plan = plan_running_total<Combine>});

}  // namespace
}  // namespace sanderling
