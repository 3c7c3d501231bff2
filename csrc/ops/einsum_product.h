// Einsum of two float32 operands as matrix products.
#pragma once

#include "ops/einsum_equation.h"

namespace sanderling {

// Emits a step that permutes operands where that is needed, multiplies matrices, and permutes what
// comes out. False, and no step, where the equation is no product of matrices or these would be so
// small that plain loops are as good.
bool plan_einsum_product(PlanContext& context, const EinsumEquation& equation);

}  // namespace sanderling
