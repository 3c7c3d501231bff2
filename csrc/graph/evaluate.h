#pragma once

#include <span>
#include <vector>

#include "graph/graph.h"

namespace sanderling {

// The types that `evaluate` would give.
std::vector<TensorType> evaluated_types(const Graph& graph, const Node& node,
                                        std::span<const Tensor* const> inputs);

// Runs one node on given tensors (nullptr where an input is left out) by its operator's reference
// function.
std::vector<Tensor> evaluate(const Graph& graph, const Node& node,
                             std::span<const Tensor* const> inputs);

}  // namespace sanderling
