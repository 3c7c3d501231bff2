// Where steps can do without buffers of their own.
#pragma once

#include "plan/planned_steps.h"

namespace sanderling {

// Lets what a Concat puts together be computed in its place there; its step goes, or copies only
// what comes from elsewhere. May make the arena larger: a part that is there early keeps the place
// of all.
void join_pieces(PlannedSteps& planned);

// Lets elementwise steps write over an input that nobody reads afterwards. Inputs of the program
// and constants are never written to, and nothing is computed in `fixed` values' places (the
// caller's arrays for outputs) but they themselves.
void write_in_place(PlannedSteps& planned, const std::vector<ValueId>& fixed);

}  // namespace sanderling
