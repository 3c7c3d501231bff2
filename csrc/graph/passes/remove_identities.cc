#include "graph/passes/passes.h"

namespace sanderling {

void remove_identities(Graph& graph) {
  std::vector<ValueId> alias(graph.values.size());
  for (size_t id = 0; id < alias.size(); ++id) alias[id] = static_cast<ValueId>(id);
  for (Node& node : graph.nodes) {
    for (ValueId& id : node.inputs)
      if (id != kNoValue) id = alias[static_cast<size_t>(id)];
    if (node.op == "Identity") alias[static_cast<size_t>(node.outputs[0])] = node.inputs[0];
  }
  for (GraphOutput& output : graph.outputs) output.value = alias[static_cast<size_t>(output.value)];
  sort_and_prune(graph);
}

}  // namespace sanderling
