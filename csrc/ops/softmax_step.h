// The step of Softmax and LogSoftmax for float32.
#pragma once

#include "graph/operator.h"

namespace sanderling {

void plan_softmax(PlanContext& context, bool logarithm);

}  // namespace sanderling
