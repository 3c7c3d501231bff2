#include "ops/softmax_step.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_softmax(context, [](double x, double sum) { return std::exp(x) / sum; });
}

void plan(PlanContext& context) { plan_softmax(context, false); }

SANDERLING_OPERATOR(softmax)({.name = "Softmax",
                              .since_opset = 7,
                              .infer = infer_softmax,
                              .reference = reference,
                              .plan = plan});

}  // namespace
}  // namespace sanderling
