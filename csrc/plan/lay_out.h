#pragma once

#include "plan/planned_steps.h"
#include "plan/program.h"

namespace sanderling {

// Gives every value of the steps a home (a constant's own memory, an input, a graph output's array
// or a place in the arena), and makes the program's steps of them. `from_user`: the inputs are
// arrays of the model's user, else of another program's arena.
void lay_out(PlannedSteps planned, bool from_user, Program& program);

}  // namespace sanderling
