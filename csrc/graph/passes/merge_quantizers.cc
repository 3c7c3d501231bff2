// NNCF, TensorRT and PyTorch's pt2e put a QuantizeLinear before every reader of a value, all with
// the same numbers. As one of them, they are codes that several operators read; as many, they keep
// the operator before them from yielding codes at all.
#include <map>
#include <tuple>

#include "graph/passes/qdq.h"

namespace sanderling {

void merge_quantizers(Graph& graph) {
  std::map<std::tuple<ValueId, float, int32_t, DType>, ValueId> first;
  std::map<ValueId, ValueId> merged;
  for (const Node& node : graph.nodes) {
    if (node.op != "QuantizeLinear") continue;
    DType dtype;
    const auto q = tensor_quantization(graph, node, DType::kUInt8, dtype);
    if (!q) continue;
    const auto [at, is_new] =
        first.try_emplace({node.inputs[0], q->scale, q->zero_point, dtype}, node.outputs[0]);
    if (!is_new && !graph.is_output(node.outputs[0])) merged[node.outputs[0]] = at->second;
  }
  if (merged.empty()) return;
  for (Node& node : graph.nodes)
    for (ValueId& id : node.inputs)
      if (const auto at = merged.find(id); at != merged.end()) id = at->second;
  sort_and_prune(graph);
}

}  // namespace sanderling
