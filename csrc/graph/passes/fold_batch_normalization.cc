#include <cmath>

#include "graph/passes/passes.h"

namespace sanderling {
namespace {

// y = x * scale + shift per channel, in double until the merged weights are rounded once.
struct Affine {
  std::vector<double> scale, shift;
};

std::optional<Affine> affine_of(const Graph& graph, const Node& node) {
  if (node.op != "BatchNormalization" || node.inputs.size() != 5 || node.outputs.size() != 1 ||
      node.attributes.integer("training_mode", 0) != 0)
    return std::nullopt;
  const Tensor* parts[4];
  for (size_t i = 0; i < 4; ++i) {
    parts[i] = graph.constant(node.inputs[i + 1]);
    // Shapes that do not fit stay for the operator's own rule, which names them.
    if (!parts[i] || parts[i]->dtype() != DType::kFloat32 || parts[i]->shape().rank() != 1 ||
        parts[i]->shape() != parts[0]->shape())
      return std::nullopt;
  }
  const double epsilon = node.attributes.number("epsilon", 1e-5f);
  Affine affine;
  for (int64_t c = 0; c < parts[0]->shape().elements(); ++c) {
    const auto at = [&](int part) -> double {
      return parts[part]->data<float>()[static_cast<size_t>(c)];
    };
    affine.scale.push_back(at(0) / std::sqrt(at(3) + epsilon));
    affine.shift.push_back(at(1) - at(2) * affine.scale.back());
  }
  return affine;
}

// The axis of the weights that makes the output channels, or -1 where merging is not possible.
int64_t channel_axis(const Node& node, const Tensor& weights, const Tensor* bias,
                     int64_t channels) {
  int64_t axis = -1;
  if (node.op == "Conv") axis = 0;
  if (node.op == "Gemm" && weights.shape().rank() == 2 &&
      node.attributes.number("alpha", 1.0f) == 1.0f && node.attributes.number("beta", 1.0f) == 1.0f)
    axis = node.attributes.integer("transB", 0) != 0 ? 0 : 1;
  if (axis < 0 || weights.shape().rank() <= axis || weights.shape()[axis] != channels) return -1;
  if (bias && bias->shape().elements() != channels) return -1;
  return axis;
}

}  // namespace

void fold_batch_normalization(Graph& graph) {
  const Uses uses(graph);
  for (Node& node : graph.nodes) {
    const std::optional<Affine> affine = affine_of(graph, node);
    if (!affine || !uses.read_once(node.inputs[0])) continue;
    const int producer = uses.producer(node.inputs[0]);
    if (producer < 0) continue;
    Node& before = graph.nodes[static_cast<size_t>(producer)];
    if (before.inputs.size() < 2) continue;
    const Tensor* weights = graph.constant(before.inputs[1]);
    const bool has_bias = before.inputs.size() > 2 && before.inputs[2] != kNoValue;
    const Tensor* bias = has_bias ? graph.constant(before.inputs[2]) : nullptr;
    if (!weights || weights->dtype() != DType::kFloat32 || (has_bias && !bias)) continue;
    if (bias && bias->dtype() != DType::kFloat32) continue;
    const auto channels = static_cast<int64_t>(affine->scale.size());
    const int64_t axis = channel_axis(before, *weights, bias, channels);
    if (axis < 0) continue;

    Tensor merged(weights->type());
    const int64_t inner = weights->shape().elements(axis + 1, weights->shape().rank());
    for (size_t i = 0; i < merged.data<float>().size(); ++i) {
      const size_t channel = i / static_cast<size_t>(inner) % static_cast<size_t>(channels);
      merged.mutable_data<float>()[i] =
          static_cast<float>(weights->data<float>()[i] * affine->scale[channel]);
    }
    Tensor merged_bias(DType::kFloat32, Shape{channels});
    for (size_t c = 0; c < static_cast<size_t>(channels); ++c)
      merged_bias.mutable_data<float>()[c] = static_cast<float>(
          (bias ? bias->data<float>()[c] : 0.0) * affine->scale[c] + affine->shift[c]);
    // New constants: others may read the old ones.
    const ValueId weights_id = graph.add_constant(node.name + "/weight", std::move(merged));
    const ValueId bias_id = graph.add_constant(node.name + "/bias", std::move(merged_bias));
    before.inputs.resize(3);
    before.inputs[1] = weights_id;
    before.inputs[2] = bias_id;
    before.outputs[0] = node.outputs[0];
    node.outputs.clear();
  }
  std::erase_if(graph.nodes, [](const Node& node) { return node.outputs.empty(); });
  sort_and_prune(graph);
}

}  // namespace sanderling
