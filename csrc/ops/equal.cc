#include <functional>

#include "ops/comparison.h"
#include "ops/logical.h"

namespace sanderling {
namespace {

bool of_bools(const InferContext& context) { return context.input(0).dtype == DType::kBool; }

void infer(InferContext& context) {
  if (!of_bools(context)) return infer_comparison(context);
  require_same_dtype(context, 0, 1);
  context.set_output(0, DType::kBool, broadcast_inputs(context));
}

void reference(const ReferenceContext& context) {
  if (of_bools(context))
    reference_pairs<bool, bool, bool>(context, std::equal_to<>{});
  else
    reference_comparison<std::equal_to<>>(context);
}

void plan(PlanContext& context) {
  if (of_bools(context))
    emit_pairs<bool, bool, bool>(context, std::equal_to<>{});
  else
    plan_comparison<std::equal_to<>>(context);
}

SANDERLING_OPERATOR(equal)({.name = "Equal",
                            .since_opset = 7,
                            .min_inputs = 2,
                            .max_inputs = 2,
                            .infer = infer,
                            .reference = reference,
                            .plan = plan,
                            .elementwise = true});

}  // namespace
}  // namespace sanderling
