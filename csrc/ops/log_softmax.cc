#include "ops/softmax_step.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_softmax(context, [](double x, double sum) { return x - std::log(sum); });
}

void plan(PlanContext& context) { plan_softmax(context, true); }

SANDERLING_OPERATOR(log_softmax)({.name = "LogSoftmax",
                                  .since_opset = 7,
                                  .infer = infer_softmax,
                                  .reference = reference,
                                  .plan = plan});

}  // namespace
}  // namespace sanderling
