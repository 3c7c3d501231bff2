#pragma once

#include "graph/operator.h"
#include "ops/strided_copy.h"

namespace sanderling {

// The step of an operator whose output 0 is a strided copy of input 0.
inline void run_copy(const StridedCopy& copy, const StepArgs& args) {
  copy(args.inputs[0], args.outputs[0], *args.workers);
}

}  // namespace sanderling
