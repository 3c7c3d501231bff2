// The norms of windows: LpPool and GlobalLpPool.
#pragma once

#include "graph/operator.h"

namespace sanderling {

void infer_norm_pool(InferContext& context);
void reference_norm_pool(const ReferenceContext& context);

}  // namespace sanderling
