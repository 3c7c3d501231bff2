#include <algorithm>
#include <array>

#include "graph/passes/passes.h"
#include "graph/type_inference.h"

namespace sanderling {
namespace {

// Dynamic extents are tried in this order; a rank found with any of them holds for all. 1 suits
// batches, the others images and sequences that shrink on their way.
constexpr std::array<int64_t, 4> kTrialExtents{1, 16, 64, 224};

// Returns whether every value got a rank.
bool try_extent(Graph& graph, int64_t extent) {
  TypeInference types(graph);
  for (const GraphInput& input : graph.inputs) {
    std::vector<int64_t> dims = input.dims;
    for (size_t d = 0; d < dims.size(); ++d)
      if (dims[d] < 0) dims[d] = d == 0 ? 1 : extent;
    try {
      types.set_type(input.value, {input.dtype, Shape(std::move(dims))});
    } catch (const Error&) {
      return false;  // too large with this extent
    }
  }
  bool all = true;
  for (const Node& node : graph.nodes) {
    const bool ready = std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
      return id == kNoValue || types.has_type(id);
    });
    try {
      if (ready) types.infer(node);
      all = all && ready;
    } catch (const Error&) {
      all = false;  // perhaps only because of the trial extent; real shapes are judged when a
                    // plan is made
    }
  }
  for (size_t id = 0; id < graph.values.size(); ++id)
    if (const auto value = static_cast<ValueId>(id); types.has_type(value))
      graph.value(value).rank = static_cast<int>(types.type(value).shape.rank());
  return all;
}

}  // namespace

void find_ranks(Graph& graph) {
  for (int64_t extent : kTrialExtents)
    if (try_extent(graph, extent)) return;
}

}  // namespace sanderling
