#include <algorithm>
#include <limits>

#include "graph/passes/passes.h"

namespace sanderling {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool takes_clamp(const Node& node) {
  for (const char* op : {"Conv", "ConvTranspose", "Gemm", "MatMul", "QConv", "QGemm", "QMatMul"})
    if (node.op == op) return true;
  return false;
}

}  // namespace

std::optional<ActivationRange> clamp_range(const Graph& graph, const Node& node) {
  if (node.op == "Relu") return ActivationRange{0.0f, kInfinity};
  if (node.op != "Clip") return std::nullopt;
  if (node.opset < 11)
    return ActivationRange{node.attributes.number("min", -kInfinity),
                           node.attributes.number("max", kInfinity)};
  ActivationRange range{-kInfinity, kInfinity};
  const auto read = [&](size_t i, float& bound) {
    if (i >= node.inputs.size() || node.inputs[i] == kNoValue) return true;
    const Tensor* tensor = graph.constant(node.inputs[i]);
    if (!tensor || tensor->dtype() != DType::kFloat32 || tensor->shape().elements() != 1)
      return false;
    bound = tensor->data<float>()[0];
    return true;
  };
  if (!read(1, range.low) || !read(2, range.high)) return std::nullopt;
  if (!(range.low <= range.high))
    return std::nullopt;  // NaN or crossed bounds: left to the operator itself
  return range;
}

void fuse_activations(Graph& graph) {
  const Uses uses(graph);
  for (Node& node : graph.nodes) {
    const std::optional<ActivationRange> range = clamp_range(graph, node);
    if (!range || !uses.read_once(node.inputs[0])) continue;
    const int producer = uses.producer(node.inputs[0]);
    if (producer < 0) continue;
    Node& before = graph.nodes[static_cast<size_t>(producer)];
    if (!takes_clamp(before) || before.attributes.has("low")) continue;
    before.attributes.set("low", range->low);
    before.attributes.set("high", range->high);
    before.outputs[0] = node.outputs[0];
    node.outputs.clear();  // nothing needs it any more
  }
  std::erase_if(graph.nodes, [](const Node& node) { return node.outputs.empty(); });
  sort_and_prune(graph);
}

}  // namespace sanderling
