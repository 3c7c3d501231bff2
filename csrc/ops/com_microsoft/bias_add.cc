#include <functional>

#include "ops/com_microsoft/biased.h"
#include "ops/fold_inputs.h"

namespace sanderling {
namespace {

// input + bias + skip.
void infer(InferContext& context) {
  infer_biased(context);
  require_same_dtype(context, 0, 2);
  if (context.input(2).shape != context.input(0).shape)
    context.error("skip has shape ", context.input(2).shape.to_string(), ", the input has ",
                  context.input(0).shape.to_string(), "; they must be the same");
}

void reference(const ReferenceContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    reference_fold<float, double>(context, std::plus<>{});
  else
    reference_fold<double, double>(context, std::plus<>{});
}

void plan(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32) emit_fold<float>(context, std::plus<>{});
}

SANDERLING_OPERATOR(bias_add)({.name = "com.microsoft.BiasAdd",
                               .since_opset = 1,
                               .min_inputs = 3,
                               .max_inputs = 3,
                               .infer = infer,
                               .reference = reference,
                               .plan = plan,
                               .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
