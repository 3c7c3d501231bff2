#include "graph/evaluate.h"

namespace sanderling {
namespace {

const Operator& operator_of(const Node& node) {
  const Operator* op = find_operator(node.op);
  SANDERLING_ASSERT(op != nullptr, node.op);
  return *op;
}

struct Inputs {
  std::vector<const TensorType*> types;
  std::vector<const void*> data;
};

Inputs inputs_of(std::span<const Tensor* const> tensors) {
  Inputs inputs;
  for (const Tensor* tensor : tensors) {
    inputs.types.push_back(tensor ? &tensor->type() : nullptr);
    inputs.data.push_back(tensor ? tensor->raw() : nullptr);
  }
  return inputs;
}

class MakeTensors final : public ComputeContext {
 public:
  MakeTensors(const NodeView& view, Workers& workers, std::vector<Tensor>& outputs,
              const TakeMemory& take)
      : ComputeContext(view, workers), results_(outputs), take_(take) {}

  void* make_output(size_t i, const TensorType& type) override {
    SANDERLING_ASSERT(has_output(i), node().op, " output ", i);
    check_size(*this, i, type);
    hold(type.bytes());
    results_[i] = Tensor(type);
    return results_[i].mutable_raw();
  }

  void hold(size_t bytes) override {
    if (take_) take_(bytes);
  }

 private:
  std::vector<Tensor>& results_;
  const TakeMemory& take_;
};

}  // namespace

std::vector<TensorType> evaluated_types(const Graph& graph, const Node& node,
                                        std::span<const Tensor* const> tensors) {
  const Inputs inputs = inputs_of(tensors);
  std::vector<TensorType> outputs(node.outputs.size());
  InferContext context({graph, node, inputs.types, inputs.data, outputs});
  infer_types(operator_of(node), context);
  return outputs;
}

std::vector<Tensor> evaluate(const Graph& graph, const Node& node,
                             std::span<const TensorType* const> input_types,
                             std::span<const void* const> input_data,
                             std::span<const std::unique_ptr<Body>> bodies, Workers* workers,
                             const TakeMemory& take) {
  const Operator& op = operator_of(node);
  std::vector<TensorType> types(node.outputs.size());
  std::vector<Tensor> outputs(node.outputs.size());
  const NodeView view{graph, node, input_types, input_data, types, bodies};
  if (op.compute) {
    InlineWorkers alone;
    MakeTensors context(view, workers ? *workers : alone, outputs, take);
    op.compute(context);
    return outputs;
  }
  InferContext infer(view);
  infer_types(op, infer);
  std::vector<void*> data(types.size(), nullptr);
  for (size_t i = 0; i < types.size(); ++i) {
    if (node.outputs[i] == kNoValue) continue;
    if (take) take(types[i].bytes());
    outputs[i] = Tensor(types[i]);
    data[i] = outputs[i].mutable_raw();
  }
  op.reference(ReferenceContext(view, data));
  return outputs;
}

std::vector<Tensor> evaluate(const Graph& graph, const Node& node,
                             std::span<const Tensor* const> tensors) {
  const Inputs inputs = inputs_of(tensors);
  return evaluate(graph, node, inputs.types, inputs.data);
}

}  // namespace sanderling
