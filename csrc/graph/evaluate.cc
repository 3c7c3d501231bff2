#include "graph/evaluate.h"

#include "graph/operator.h"

namespace sanderling {

std::vector<Tensor> evaluate(const Graph& graph, const Node& node,
                             std::span<const Tensor* const> inputs) {
  const Operator* op = find_operator(node.op);
  SANDERLING_ASSERT(op != nullptr, node.op);
  std::vector<const TensorType*> types;
  std::vector<const void*> data;
  for (const Tensor* input : inputs) {
    types.push_back(input ? &input->type() : nullptr);
    data.push_back(input ? input->raw() : nullptr);
  }
  std::vector<TensorType> output_types(node.outputs.size());
  InferContext infer(graph, node, types, output_types);
  infer_types(*op, infer);

  std::vector<Tensor> outputs;
  std::vector<void*> output_data;
  for (size_t i = 0; i < output_types.size(); ++i) {
    outputs.emplace_back(output_types[i]);
    output_data.push_back(node.outputs[i] == kNoValue ? nullptr : outputs.back().mutable_raw());
  }
  op->reference(ReferenceContext(graph, node, types, output_types, data, output_data));
  return outputs;
}

}  // namespace sanderling
