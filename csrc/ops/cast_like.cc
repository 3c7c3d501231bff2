#include "ops/cast_elements.h"

namespace sanderling {
namespace {

// Of input 1 only the type matters.
void infer(InferContext& context) { infer_cast(context, context.input(1).dtype); }

bool same_type(const InferContext& context) {
  return context.input(0).dtype == context.input(1).dtype;
}

SANDERLING_OPERATOR(cast_like)({.name = "CastLike",
                                .since_opset = 15,
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .infer = infer,
                                .reference = reference_cast,
                                .plan = plan_cast,
                                .view_if = same_type});

}  // namespace
}  // namespace sanderling
