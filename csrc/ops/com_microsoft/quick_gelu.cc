#include "ops/gelu.h"
#include "ops/unary_function.h"

namespace sanderling {
namespace {

struct QuickGelu {
  explicit QuickGelu(const InferContext& context)
      : alpha(context.attributes().number("alpha", 1.702f)) {}
  double operator()(double x) const { return swish(x, double{alpha}); }

  float alpha;
};

void plan(PlanContext& context) { plan_swish(context, QuickGelu(context).alpha); }

SANDERLING_OPERATOR(quick_gelu)({.name = "com.microsoft.QuickGelu",
                                 .since_opset = 1,
                                 .infer = infer_function<QuickGelu>,
                                 .reference = reference_function<QuickGelu>,
                                 .plan = plan,
                                 .elementwise = true,
                                 .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
