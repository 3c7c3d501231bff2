#include "ops/row_normalization.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  infer_skip_normalization(context, skip_normalization(context, true));
}

void reference(const ReferenceContext& context) {
  reference_normalization(context, skip_normalization(context, true));
}

void plan(PlanContext& context) { plan_normalization(context, skip_normalization(context, true)); }

SANDERLING_OPERATOR(skip_layer_normalization)({.name = "com.microsoft.SkipLayerNormalization",
                                               .since_opset = 1,
                                               .min_inputs = 3,
                                               .max_inputs = 5,
                                               .max_outputs = 4,
                                               .infer = infer,
                                               .reference = reference,
                                               .plan = plan});

}  // namespace
}  // namespace sanderling
