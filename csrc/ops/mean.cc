#include <functional>

#include "ops/fold_inputs.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  infer_fold(context);
}

// In double, rounded once to float32.
void reference(const ReferenceContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    reference_fold<float, double>(context, std::plus<>{}, static_cast<double>(context.inputs()));
  else
    reference_fold<double, double>(context, std::plus<>{}, static_cast<double>(context.inputs()));
}

void plan(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    emit_fold<float>(context, std::plus<>{}, static_cast<float>(context.inputs()));
}

SANDERLING_OPERATOR(mean)({.name = "Mean",
                           .since_opset = 7,
                           .max_inputs = SIZE_MAX,
                           .infer = infer,
                           .reference = reference,
                           .plan = plan,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
