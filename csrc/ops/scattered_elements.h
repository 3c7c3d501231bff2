// Scatter, and ScatterElements as it has been called since opset 11.
#pragma once

#include "graph/operator.h"

namespace sanderling {

void infer_scattered_elements(InferContext& context);
void scatter_elements(const ReferenceContext& context);

}  // namespace sanderling
