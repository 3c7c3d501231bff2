#pragma once

#include <functional>
#include <span>
#include <vector>

#include "graph/graph.h"
#include "graph/operator.h"

namespace sanderling {

// Told of bytes before they are allocated; refuses them by throwing.
using TakeMemory = std::function<void(size_t bytes)>;

// Runs one node, by its reference function or compute, on elements that are all known (except that
// Operator::from_types reads none). An output that nobody wants is an empty tensor. Throws what its
// shape rule throws. `take` is told of each output and of what the operator holds besides.
std::vector<Tensor> evaluate(const Graph& graph, const Node& node,
                             std::span<const TensorType* const> input_types,
                             std::span<const void* const> input_data,
                             std::span<const std::unique_ptr<Body>> bodies = {},
                             Workers* workers = nullptr, const TakeMemory& take = {});
// The same for tensors; nullptr where an input is left out.
std::vector<Tensor> evaluate(const Graph& graph, const Node& node,
                             std::span<const Tensor* const> inputs);
// The types of its outputs, where they are known without computing them.
std::vector<TensorType> evaluated_types(const Graph& graph, const Node& node,
                                        std::span<const Tensor* const> inputs);

}  // namespace sanderling
