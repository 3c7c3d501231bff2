#pragma once

#include "graph/graph.h"

namespace sanderling {

// Throws kModel unless the graph and its subgraphs are what planning relies on without a look:
// values that exist, nodes after those that they read from, operators with the numbers of inputs
// and outputs that they have. Import and passes see to it; a file may say anything.
void check_graph(const Graph& graph);

}  // namespace sanderling
