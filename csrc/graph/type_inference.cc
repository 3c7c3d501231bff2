#include "graph/type_inference.h"

#include <algorithm>

#include "graph/evaluate.h"

namespace sanderling {
namespace {

// Shape arithmetic is short; what is longer is computed in the run.
constexpr int64_t kMostKnownElements = 1024;

}  // namespace

TypeInference::TypeInference(const Graph& graph)
    : graph_(graph),
      types_(graph.values.size()),
      has_type_(graph.values.size(), false),
      known_(graph.values.size()) {
  for (size_t id = 0; id < graph.values.size(); ++id)
    if (const auto& constant = graph.values[id].constant)
      set_type(static_cast<ValueId>(id), constant->type());
}

void TypeInference::set_type(ValueId id, TensorType type) {
  types_[index(id)] = std::move(type);
  has_type_[index(id)] = true;
}

const Tensor* TypeInference::known(ValueId id) const {
  if (const Tensor* constant = graph_.constant(id)) return constant;
  return id == kNoValue ? nullptr : known_[index(id)].get();
}

void TypeInference::set_known(ValueId id, Tensor tensor) {
  set_type(id, tensor.type());
  known_[index(id)] = std::make_shared<const Tensor>(std::move(tensor));
}

TypeInference::Inputs TypeInference::inputs_of(const Node& node) const {
  Inputs inputs;
  for (ValueId id : node.inputs) {
    const Tensor* const elements = known(id);
    inputs.types.push_back(id == kNoValue ? nullptr : &type(id));
    inputs.data.push_back(elements ? elements->raw() : nullptr);
  }
  return inputs;
}

bool TypeInference::can_evaluate(const Operator& op, const Node& node, const Inputs& inputs,
                                 std::span<const TensorType> outputs) const {
  const bool few = std::all_of(outputs.begin(), outputs.end(), [](const TensorType& type) {
    return type.shape.elements() <= kMostKnownElements;
  });
  if (!few || !node.subgraphs.empty()) return false;
  if (op.from_types) return true;
  for (size_t i = 0; i < inputs.types.size(); ++i)
    if (inputs.types[i] && !inputs.data[i]) return false;
  return true;
}

void TypeInference::infer(const Node& node, std::span<const std::unique_ptr<Body>> bodies) {
  const Operator* const op = find_operator(node.op);
  SANDERLING_ASSERT(op != nullptr, node.op);
  const Inputs inputs = inputs_of(node);
  std::vector<TensorType> outputs(node.outputs.size());
  InferContext context({graph_, node, inputs.types, inputs.data, outputs, bodies});
  infer_types(*op, context);
  if (!can_evaluate(*op, node, inputs, outputs)) {
    for (size_t i = 0; i < outputs.size(); ++i)
      if (node.outputs[i] != kNoValue) set_type(node.outputs[i], std::move(outputs[i]));
    return;
  }
  std::vector<Tensor> results = evaluate(graph_, node, inputs.types, inputs.data);
  for (size_t i = 0; i < results.size(); ++i)
    if (node.outputs[i] != kNoValue) set_known(node.outputs[i], std::move(results[i]));
}

}  // namespace sanderling
