#include <array>

#include "graph/operator.h"
#include "graph/passes/passes.h"

namespace sanderling {
namespace {

// Dynamic extents are tried in this order; a rank found with any of them holds for all. 1 suits
// batches, the others images and sequences that shrink on their way.
constexpr std::array<int64_t, 4> kTrialExtents{1, 16, 64, 224};

// Returns whether every value got a rank.
bool try_extent(Graph& graph, int64_t extent) {
  std::vector<TensorType> types(graph.values.size());
  std::vector<bool> known(graph.values.size(), false);
  const auto set = [&](ValueId id, TensorType type) {
    graph.value(id).rank = static_cast<int>(type.shape.rank());
    types[static_cast<size_t>(id)] = std::move(type);
    known[static_cast<size_t>(id)] = true;
  };
  for (size_t id = 0; id < graph.values.size(); ++id)
    if (graph.values[id].constant) set(static_cast<ValueId>(id), graph.values[id].constant->type());
  for (const GraphInput& input : graph.inputs) {
    std::vector<int64_t> dims = input.dims;
    for (size_t d = 0; d < dims.size(); ++d)
      if (dims[d] < 0) dims[d] = d == 0 ? 1 : extent;
    try {
      set(input.value, {input.dtype, Shape(std::move(dims))});
    } catch (const Error&) {
      return false;  // too large with this extent
    }
  }
  bool all = true;
  for (const Node& node : graph.nodes) {
    std::vector<const TensorType*> inputs;
    bool ready = true;
    for (ValueId id : node.inputs) {
      inputs.push_back(id == kNoValue ? nullptr : &types[static_cast<size_t>(id)]);
      ready = ready && (id == kNoValue || known[static_cast<size_t>(id)]);
    }
    std::vector<TensorType> outputs(node.outputs.size());
    if (ready) {
      try {
        InferContext context(graph, node, inputs, outputs);
        find_operator(node.op)->infer(context);
      } catch (const Error&) {
        ready = false;  // perhaps only because of the trial extent; real shapes are judged when a
                        // plan is made
      }
    }
    all = all && ready;
    for (size_t i = 0; ready && i < outputs.size(); ++i)
      if (node.outputs[i] != kNoValue) set(node.outputs[i], outputs[i]);
  }
  return all;
}

}  // namespace

void find_ranks(Graph& graph) {
  for (int64_t extent : kTrialExtents)
    if (try_extent(graph, extent)) return;
}

}  // namespace sanderling
