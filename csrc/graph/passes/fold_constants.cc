#include <algorithm>
#include <span>
#include <vector>

#include "graph/evaluate.h"
#include "graph/passes/passes.h"

namespace sanderling {
namespace {

// A folded result stays in memory with the model, so that it must be in proportion to the file: a
// Pad or Transpose of a few bytes may ask for gigabytes. What is larger is computed in the run.
constexpr size_t kMostFoldedBytes = size_t{16} << 20;
constexpr size_t kMostFoldedGrowth = 8;  // int8 codes to float64

size_t bytes_of(std::span<const Tensor* const> tensors) {
  size_t sum = 0;
  for (const Tensor* tensor : tensors) sum += tensor ? tensor->type().bytes() : 0;
  return sum;
}

bool worth_folding(std::span<const TensorType> outputs, std::span<const Tensor* const> inputs) {
  size_t sum = 0;
  for (const TensorType& output : outputs) sum += output.bytes();
  return sum <= std::max(kMostFoldedBytes, kMostFoldedGrowth * bytes_of(inputs));
}

}  // namespace

void fold_constants(Graph& graph, bool keep_dequantize) {
  for (const Node& node : graph.nodes) {
    if (keep_dequantize && node.op.ends_with("DequantizeLinear")) continue;
    const bool foldable = std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
      return id == kNoValue || graph.constant(id);
    });
    if (!foldable) continue;
    std::vector<const Tensor*> inputs;
    for (ValueId id : node.inputs) inputs.push_back(graph.constant(id));
    if (!node.subgraphs.empty()) continue;
    std::vector<Tensor> outputs;
    try {
      if (!worth_folding(evaluated_types(graph, node, inputs), inputs)) continue;
      outputs = evaluate(graph, node, inputs);
    } catch (const NeedsValue&) {
      // What comes out is known only afterwards, and cannot be much more than what goes in.
      if (bytes_of(inputs) > kMostFoldedBytes) continue;
      outputs = evaluate(graph, node, inputs);
    }
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
