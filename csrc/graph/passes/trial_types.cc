#include "graph/passes/trial_types.h"

#include <algorithm>

namespace sanderling {

TrialTypes infer_trial_types(const Graph& graph, int64_t batch, int64_t extent) {
  TrialTypes trial{TypeInference(graph), true};
  TypeInference& types = trial.types;
  for (const GraphInput& input : graph.inputs) {
    std::vector<int64_t> dims = input.dims;
    for (size_t d = 0; d < dims.size(); ++d)
      if (dims[d] < 0) dims[d] = d == 0 ? batch : extent;
    try {
      types.set_type(input.value, {input.dtype, Shape(std::move(dims))});
    } catch (const Error&) {
      return {TypeInference(graph), false};  // too large with this extent
    }
  }
  for (const Node& node : graph.nodes) {
    const bool ready = std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
      return id == kNoValue || types.has_type(id);
    });
    try {
      if (ready) types.infer(node);
      trial.complete = trial.complete && ready;
    } catch (const Error&) {
      trial.complete = false;  // perhaps only because of the trial extent; real shapes are judged
                               // when a plan is made
    }
  }
  return trial;
}

}  // namespace sanderling
