#include "ops/gelu.h"
#include "ops/unary_function.h"

namespace sanderling {
namespace {

struct Swish {
  explicit Swish(const InferContext& context) : alpha(context.attributes().number("alpha", 1.0f)) {}
  double operator()(double x) const { return swish(x, double{alpha}); }

  float alpha;
};

void plan(PlanContext& context) { plan_swish(context, Swish(context).alpha); }

SANDERLING_OPERATOR(swish)({.name = "Swish",
                            .since_opset = 24,
                            .infer = infer_function<Swish>,
                            .reference = reference_function<Swish>,
                            .plan = plan,
                            .elementwise = true,
                            .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
