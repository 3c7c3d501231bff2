#pragma once

#include <memory>

#include "plan/program.h"

namespace sanderling {

// A model compiled for one instruction set, as Python holds it: made from a Model or read from a
// plan's file.
struct BoundPlan {
  std::shared_ptr<const CompiledModel> model;
};

}  // namespace sanderling
