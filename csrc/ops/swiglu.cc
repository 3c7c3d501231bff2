#include "ops/gelu.h"
#include "ops/pairs.h"

namespace sanderling {
namespace {

float alpha(const InferContext& context) { return context.attributes().number("alpha", 1.0f); }

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, 1);
  alpha(context);
  if (context.input(0).shape != context.input(1).shape)
    context.error("the gate has shape ", context.input(0).shape.to_string(),
                  ", the other input has ", context.input(1).shape.to_string(),
                  "; they must be the same");
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

template <typename T>
void reference_of(const ReferenceContext& context) {
  reference_pairs<T, T, T>(context, [alpha = alpha(context)](double gate, double x) {
    return static_cast<T>(swish(gate, alpha) * x);
  });
}

void reference(const ReferenceContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    reference_of<float>(context);
  else
    reference_of<double>(context);
}

void plan(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    emit_pairs<float, float, float>(
        context, [alpha = alpha(context)](float gate, float x) { return swish(gate, alpha) * x; },
        kFunctionGrain);
}

SANDERLING_OPERATOR(swiglu)({.name = "SwiGLU",
                             .since_opset = 28,
                             .min_inputs = 2,
                             .max_inputs = 2,
                             .infer = infer,
                             .reference = reference,
                             .plan = plan,
                             .elementwise = true,
                             .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
