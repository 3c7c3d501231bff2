#include "graph/evaluate.h"

#include "graph/operator.h"

namespace sanderling {

namespace {

const Operator& operator_of(const Node& node) {
  const Operator* op = find_operator(node.op);
  SANDERLING_ASSERT(op != nullptr, node.op);
  return *op;
}

std::vector<const TensorType*> types_of(std::span<const Tensor* const> tensors) {
  std::vector<const TensorType*> types;
  for (const Tensor* tensor : tensors) types.push_back(tensor ? &tensor->type() : nullptr);
  return types;
}

}  // namespace

std::vector<TensorType> evaluated_types(const Graph& graph, const Node& node,
                                        std::span<const Tensor* const> inputs) {
  const std::vector<const TensorType*> types = types_of(inputs);
  std::vector<TensorType> output_types(node.outputs.size());
  InferContext infer(graph, node, types, output_types);
  infer_types(operator_of(node), infer);
  return output_types;
}

std::vector<Tensor> evaluate(const Graph& graph, const Node& node,
                             std::span<const Tensor* const> inputs) {
  std::vector<TensorType> output_types = evaluated_types(graph, node, inputs);
  std::vector<const void*> data;
  for (const Tensor* input : inputs) data.push_back(input ? input->raw() : nullptr);
  std::vector<Tensor> outputs;
  std::vector<void*> output_data;
  for (size_t i = 0; i < output_types.size(); ++i) {
    outputs.emplace_back(output_types[i]);
    output_data.push_back(node.outputs[i] == kNoValue ? nullptr : outputs.back().mutable_raw());
  }
  operator_of(node).reference(
      ReferenceContext(graph, node, types_of(inputs), output_types, data, output_data));
  return outputs;
}

}  // namespace sanderling
