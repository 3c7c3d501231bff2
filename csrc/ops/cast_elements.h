// What Cast and CastLike share.
#pragma once

#include "graph/operator.h"

namespace sanderling {

// Checks the attributes, and gives output 0 the type of the cast.
void infer_cast(InferContext& context, DType to);
void reference_cast(const ReferenceContext& context);
// For the pairs of types that models meet on their way; others are the reference's.
void plan_cast(PlanContext& context);

}  // namespace sanderling
