#include <array>

#include "graph/passes/passes.h"
#include "graph/passes/trial_types.h"

namespace sanderling {
namespace {

// Dynamic extents are tried in this order; a rank found with any of them holds for all. 1 suits
// batches, the others images and sequences that shrink on their way.
constexpr std::array<int64_t, 4> kTrialExtents{1, 16, 64, 224};

// Returns whether every value got a rank.
bool try_extent(Graph& graph, int64_t extent) {
  const TrialTypes trial = infer_trial_types(graph, 1, extent);
  for (size_t id = 0; id < graph.values.size(); ++id)
    if (const auto value = static_cast<ValueId>(id); trial.types.has_type(value))
      graph.value(value).rank = static_cast<int>(trial.types.type(value).shape.rank());
  return trial.complete;
}

}  // namespace

void find_ranks(Graph& graph) {
  for (int64_t extent : kTrialExtents)
    if (try_extent(graph, extent)) return;
}

}  // namespace sanderling
