#include <algorithm>

#include "graph/evaluate.h"
#include "graph/passes/passes.h"

namespace sanderling {

void fold_constants(Graph& graph, bool keep_dequantize) {
  for (const Node& node : graph.nodes) {
    if (keep_dequantize && node.op == "DequantizeLinear") continue;
    const bool foldable = std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
      return id == kNoValue || graph.constant(id);
    });
    if (!foldable) continue;
    std::vector<const Tensor*> inputs;
    for (ValueId id : node.inputs) inputs.push_back(graph.constant(id));
    std::vector<Tensor> outputs = evaluate(graph, node, inputs);
    for (size_t i = 0; i < outputs.size(); ++i)
      if (node.outputs[i] != kNoValue)
        graph.value(node.outputs[i]).constant = std::move(outputs[i]);
  }
  std::erase_if(graph.nodes, [&](const Node& node) {
    return std::all_of(node.outputs.begin(), node.outputs.end(),
                       [&](ValueId id) { return id == kNoValue || graph.constant(id); });
  });
  sort_and_prune(graph);
}

}  // namespace sanderling
