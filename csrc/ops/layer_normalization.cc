#include "ops/row_normalization.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  infer_normalization_from_axis(context, normalization_from_axis(context, true));
}

void reference(const ReferenceContext& context) {
  reference_normalization(context, normalization_from_axis(context, true));
}

void plan(PlanContext& context) {
  plan_normalization(context, normalization_from_axis(context, true));
}

SANDERLING_OPERATOR(layer_normalization)({.name = "LayerNormalization",
                                          .since_opset = 1,
                                          .min_inputs = 2,
                                          .max_inputs = 3,
                                          .max_outputs = 3,
                                          .infer = infer,
                                          .reference = reference,
                                          .plan = plan});

}  // namespace
}  // namespace sanderling
