// DequantizeLinear(constant) - Transpose or another movement - operator, as PyTorch's pt2e, NNCF
// and tf2onnx write weights: the movement is done on the codes, so that the operator reads a
// DequantizeLinear.
#include <algorithm>

#include "graph/evaluate.h"
#include "graph/passes/qdq.h"

namespace sanderling {
namespace {

bool moves_constants(const Node& node) {
  for (const char* op : {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
    if (node.op == op) return node.outputs.size() == 1 && !node.inputs.empty();
  return false;
}

Tensor moved(const Graph& graph, const Node& node, const Tensor& tensor) {
  std::vector<const Tensor*> inputs{&tensor};
  for (size_t i = 1; i < node.inputs.size(); ++i) inputs.push_back(graph.constant(node.inputs[i]));
  return evaluate(graph, node, inputs)[0];
}

// The index of each element along `axis`.
Tensor indices_along(const Shape& shape, int64_t axis) {
  Tensor indices(DType::kInt32, shape);
  const int64_t inner = shape.elements(axis + 1, shape.rank());
  auto out = indices.mutable_data<int32_t>();
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<int32_t>(static_cast<int64_t>(i) / inner % shape[axis]);
  return indices;
}

// Where axis `axis` of a tensor of `shape` is after the movement; nothing where it is taken apart.
std::optional<int64_t> moved_axis(const Graph& graph, const Node& node, const Shape& shape,
                                  int64_t axis) {
  const Tensor indices = moved(graph, node, indices_along(shape, axis));
  for (int64_t to = 0; to < indices.shape().rank(); ++to) {
    if (indices.shape()[to] != shape[axis]) continue;
    const Tensor expected = indices_along(indices.shape(), to);
    if (std::ranges::equal(indices.data<int32_t>(), expected.data<int32_t>())) return to;
  }
  return std::nullopt;
}

// The DequantizeLinear of constant codes that gives what `node` moves, with its axis set to where
// it is after that; nothing where the movement cannot go first.
std::optional<Node> moved_dequantize(Graph& graph, const Node& node, const Node& dequantize) {
  const Tensor* codes = graph.constant(dequantize.inputs[0]);
  const Tensor* scale =
      dequantize.inputs.size() > 1 ? graph.constant(dequantize.inputs[1]) : nullptr;
  if (!codes || !scale || codes->shape().elements() == 0) return std::nullopt;
  for (size_t i = 1; i < node.inputs.size(); ++i)
    if (node.inputs[i] != kNoValue && !graph.constant(node.inputs[i])) return std::nullopt;
  if (dequantize.attributes.integer("block_size", 0) != 0 || scale->shape().rank() > 1)
    return std::nullopt;
  Node made = dequantize;
  if (scale->shape().elements() != 1) {
    const int64_t rank = codes->shape().rank();
    int64_t axis = dequantize.attributes.integer("axis", 1);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return std::nullopt;
    const std::optional<int64_t> to = moved_axis(graph, node, codes->shape(), axis);
    if (!to) return std::nullopt;
    made.attributes.set("axis", *to);
  } else {
    made.attributes.set("axis", int64_t{0});
  }
  const ValueId id = graph.add_constant(node.name + "/codes", moved(graph, node, *codes));
  made.name = node.name;
  made.inputs[0] = id;
  made.outputs = node.outputs;
  return made;
}

}  // namespace

void move_dequantize(Graph& graph) {
  const Uses uses(graph);
  bool any = false;
  for (Node& node : graph.nodes) {
    if (!moves_constants(node) || node.inputs[0] == kNoValue) continue;
    const int producer = uses.producer(node.inputs[0]);
    if (producer < 0) continue;
    const Node& dequantize = graph.nodes[static_cast<size_t>(producer)];
    if (dequantize.op != "DequantizeLinear") continue;
    if (std::optional<Node> made = moved_dequantize(graph, node, dequantize)) {
      node = std::move(*made);
      any = true;
    }
  }
  if (any) sort_and_prune(graph);
}

}  // namespace sanderling
