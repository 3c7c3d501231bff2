#include "graph/passes/weighted_layer.h"

#include "graph/evaluate.h"

namespace sanderling {
namespace {

std::optional<WeightedLayer::Kind> kind_of(const Node& node) {
  using Kind = WeightedLayer::Kind;
  if (node.op == "Conv") return Kind::kConv;
  if (node.op == "ConvTranspose") return Kind::kConvTranspose;
  if (node.op == "MatMul") return Kind::kMatMul;
  // With other factors than 1 weights and bias would have to be scaled apart.
  if (node.op == "Gemm" && node.attributes.number("alpha", 1.0f) == 1.0f &&
      node.attributes.number("beta", 1.0f) == 1.0f && node.attributes.integer("transA", 0) == 0)
    return Kind::kGemm;
  return std::nullopt;
}

const Node* dequantize_of_constant(const Graph& graph, const Uses& uses, ValueId id) {
  const int producer = uses.producer(id);
  if (producer < 0) return nullptr;
  const Node& node = graph.nodes[static_cast<size_t>(producer)];
  if (node.op != "DequantizeLinear") return nullptr;
  for (ValueId input : node.inputs)
    if (input != kNoValue && !graph.constant(input)) return nullptr;
  return &node;
}

}  // namespace

int64_t WeightedLayer::outputs() const {
  if (kind == Kind::kConv) return weights[0];
  if (kind == Kind::kConvTranspose) return weights[1] * groups;
  return weights[transposed ? 0 : 1];
}

int64_t WeightedLayer::inputs() const {
  if (kind == Kind::kConv) return weights[1] * groups;
  if (kind == Kind::kConvTranspose) return weights[0];
  return weights[transposed ? 1 : 0];
}

int64_t WeightedLayer::output_of(int64_t element) const {
  const int64_t inner = weights.elements(2, weights.rank());
  const int64_t first = element / inner / weights[1], second = element / inner % weights[1];
  if (kind == Kind::kConv) return first;
  if (kind == Kind::kConvTranspose) return first / (weights[0] / groups) * weights[1] + second;
  return transposed ? first : second;
}

int64_t WeightedLayer::input_of(int64_t element) const {
  const int64_t inner = weights.elements(2, weights.rank());
  const int64_t first = element / inner / weights[1], second = element / inner % weights[1];
  if (kind == Kind::kConv) return first / (weights[0] / groups) * weights[1] + second;
  if (kind == Kind::kConvTranspose) return first;
  return transposed ? second : first;
}

int64_t WeightedLayer::rank(const Graph& graph, const Node& node) const {
  return kind == Kind::kMatMul ? graph.value(node.inputs[0]).rank : weights.rank();
}

int64_t WeightedLayer::scale_axis() const {
  if (kind == Kind::kConv) return 0;
  if (kind == Kind::kConvTranspose) return groups == 1 ? 1 : -1;
  return transposed ? 0 : 1;
}

std::optional<WeightedLayer> weighted_layer(const Graph& graph, const Uses& uses,
                                            const Node& node) {
  const auto kind = kind_of(node);
  if (!kind || node.inputs.size() < 2 || node.inputs[1] == kNoValue || node.outputs.empty())
    return std::nullopt;
  const Tensor* weights = graph.constant(node.inputs[1]);
  if (weights && weights->dtype() != DType::kFloat32) return std::nullopt;
  if (!weights) {
    const Node* dequantize = dequantize_of_constant(graph, uses, node.inputs[1]);
    if (!dequantize) return std::nullopt;
    weights = graph.constant(dequantize->inputs[0]);
  }
  WeightedLayer layer{.kind = *kind, .weights = weights->shape()};
  const bool spatial =
      *kind == WeightedLayer::Kind::kConv || *kind == WeightedLayer::Kind::kConvTranspose;
  if (spatial) layer.groups = node.attributes.integer("group", 1);
  if (*kind == WeightedLayer::Kind::kGemm)
    layer.transposed = node.attributes.integer("transB", 0) != 0;
  // What does not fit stays for the operator's own rule, which names it.
  const int64_t rank = layer.weights.rank();
  if (spatial ? rank < 3 : rank != 2) return std::nullopt;
  if (layer.weights.elements() == 0 || layer.groups < 1 || layer.weights[0] % layer.groups != 0)
    return std::nullopt;
  return layer;
}

std::optional<std::vector<double>> layer_bias(const Graph& graph, const Uses& uses,
                                              const Node& node, const WeightedLayer& layer) {
  std::vector<double> bias(static_cast<size_t>(layer.outputs()), 0.0);
  if (node.inputs.size() < 3 || node.inputs[2] == kNoValue) return bias;
  std::optional<Tensor> evaluated;
  const Tensor* given = graph.constant(node.inputs[2]);
  if (!given) {
    const Node* dequantize = dequantize_of_constant(graph, uses, node.inputs[2]);
    if (!dequantize) return std::nullopt;
    std::vector<const Tensor*> inputs;
    for (ValueId input : dequantize->inputs) inputs.push_back(graph.constant(input));
    given = &evaluated.emplace(evaluate(graph, *dequantize, inputs)[0]);
  }
  const Shape& shape = given->shape();
  const auto count = static_cast<int64_t>(bias.size());
  // [channels, 1] would go along the rows of a Gemm.
  if (given->dtype() != DType::kFloat32 || shape.elements() != count ||
      (shape.rank() > 0 && shape[shape.rank() - 1] != count))
    return std::nullopt;
  bias.assign(given->data<float>().begin(), given->data<float>().end());
  return bias;
}

}  // namespace sanderling
