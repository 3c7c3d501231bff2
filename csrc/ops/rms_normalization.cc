#include "ops/row_normalization.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  infer_normalization_from_axis(context, normalization_from_axis(context, false));
}

void reference(const ReferenceContext& context) {
  reference_normalization(context, normalization_from_axis(context, false));
}

void plan(PlanContext& context) {
  plan_normalization(context, normalization_from_axis(context, false));
}

SANDERLING_OPERATOR(rms_normalization)({.name = "RMSNormalization",
                                        .since_opset = 23,
                                        .min_inputs = 2,
                                        .max_inputs = 2,
                                        .max_outputs = 1,
                                        .infer = infer,
                                        .reference = reference,
                                        .plan = plan});

}  // namespace
}  // namespace sanderling
