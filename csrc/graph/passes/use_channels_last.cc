// The layout pass. In one walk each value of rank 3 or more may get a twin in channels-last order;
// a node whose operator reads either layout runs on twins, and a value is brought back to the
// model's own order only where something looks at it.
#include <algorithm>

#include "graph/operator.h"
#include "graph/passes/passes.h"

namespace sanderling {
namespace {

std::vector<int64_t> to_last(int rank) {
  std::vector<int64_t> permutation{0};
  for (int axis = 2; axis < rank; ++axis) permutation.push_back(axis);
  permutation.push_back(1);
  return permutation;
}

std::vector<int64_t> to_first(int rank) {
  std::vector<int64_t> permutation{0, rank - 1};
  for (int axis = 1; axis < rank - 1; ++axis) permutation.push_back(axis);
  return permutation;
}

// Where axis `axis` of the model's order stands in channels-last order.
int64_t moved_axis(int64_t axis, int rank) {
  if (axis < 0) axis += rank;
  if (axis == 0) return 0;
  return axis == 1 ? rank - 1 : axis - 1;
}

class Layout {
 public:
  explicit Layout(Graph& graph)
      : graph_(graph), twins_(graph.values.size(), kNoValue), there_(graph.values.size(), true) {}

  void run() {
    std::vector<Node> originals;
    originals.swap(graph_.nodes);
    for (Node& node : originals) place(std::move(node));
    for (const GraphOutput& output : graph_.outputs) bring_back(output.value);
    sort_and_prune(graph_);
  }

 private:
  static size_t index(ValueId id) { return static_cast<size_t>(id); }
  int rank(ValueId id) const { return graph_.value(id).rank; }
  bool has_twin(ValueId id) const {
    return id != kNoValue && index(id) < twins_.size() && twins_[index(id)] != kNoValue;
  }

  void place(Node node) {
    if (spatial_rank(node) > 0) {
      place_spatial(std::move(node));
    } else if (follows(node)) {
      node.inputs = twin_inputs(node);
      move_axes(node);
      emit_on_twins(std::move(node));
    } else {
      for (ValueId id : node.inputs) bring_back(id);
      graph_.nodes.push_back(std::move(node));
    }
  }

  // The rank of the tensors of a convolution or pool that has kernels for channels-last, else 0.
  int spatial_rank(const Node& node) const {
    if (node.outputs.size() != 1) return 0;  // MaxPool with indices counts in the model's own order
    if (node.inputs.empty() || node.inputs[0] == kNoValue) return 0;
    int found = 0;
    if (node.op == "Conv" || node.op == "QConv") {
      const Tensor* weights = graph_.constant(node.inputs[1]);
      found = weights ? static_cast<int>(weights->shape().rank()) : 0;
    } else if (node.op == "MaxPool" || node.op == "AveragePool") {
      found = static_cast<int>(node.attributes.integers("kernel_shape", {}).size()) + 2;
    } else if (node.op == "QAveragePool" || node.op == "GlobalAveragePool" ||
               node.op == "GlobalMaxPool") {
      found = rank(node.inputs[0]);
    }
    // A kernel whose rank is not the input's is left for the operator to refuse in the model's own
    // terms.
    if (rank(node.inputs[0]) >= 0 && rank(node.inputs[0]) != found) return 0;
    return found == 3 || found == 4 ? found : 0;
  }

  void place_spatial(Node node) {
    const int tensor_rank = spatial_rank(node);
    graph_.value(node.inputs[0]).rank = tensor_rank;
    node.inputs[0] = twin(node.inputs[0]);
    for (size_t i = 1; i < node.inputs.size(); ++i) bring_back(node.inputs[i]);
    if (node.op != "QConv" && node.op != "QAveragePool")
      node.attributes.set("channels_last", int64_t{1});
    graph_.value(node.outputs[0]).rank = tensor_rank;
    emit_on_twins(std::move(node));
  }

  // Whether the node computes the same on twins: some input has one, and every other can be given
  // one.
  bool follows(const Node& node) const {
    const int n = node.outputs.size() == 1 ? rank(node.outputs[0]) : 0;
    if (n < 3) return false;
    const bool concat = node.op == "Concat";
    const bool pad = node.op == "Pad" && can_move_pad(node);
    if (!concat && !pad && !find_operator(node.op)->elementwise) return false;
    const size_t data_inputs = pad ? 1 : node.inputs.size();
    bool any = false;
    for (size_t i = 0; i < data_inputs; ++i) {
      const ValueId id = node.inputs[i];
      if (id == kNoValue) continue;
      any = any || has_twin(id);
      if (stays(id, node)) continue;
      if (rank(id) != n) return false;
    }
    return any;
  }

  // Inputs that mean the same in any layout: one-element constants, and the table of a lookup.
  bool stays(ValueId id, const Node& node) const {
    const Tensor* constant = graph_.constant(id);
    return constant &&
           (constant->shape().elements() == 1 || (node.op == "QLookup" && id == node.inputs[1]));
  }

  std::vector<ValueId> twin_inputs(const Node& node) {
    std::vector<ValueId> inputs = node.inputs;
    const size_t data_inputs = node.op == "Pad" ? 1 : inputs.size();
    for (size_t i = 0; i < data_inputs; ++i)
      if (inputs[i] != kNoValue && !stays(inputs[i], node)) inputs[i] = twin(inputs[i]);
    return inputs;
  }

  bool can_move_pad(const Node& node) const {
    return node.opset >= 11 && node.inputs.size() >= 2 && graph_.constant(node.inputs[1]) &&
           (node.inputs.size() < 4 || node.inputs[3] == kNoValue) &&
           graph_.constant(node.inputs[1])->dtype() == DType::kInt64 &&
           graph_.constant(node.inputs[1])->shape().elements() == 2 * rank(node.outputs[0]);
  }

  void move_axes(Node& node) {
    const int n = rank(node.outputs[0]);
    if (node.op == "Concat")
      node.attributes.set("axis", moved_axis(node.attributes.integer("axis", 0), n));
    if (node.op == "Pad") {
      const auto pads = graph_.constant(node.inputs[1])->data<int64_t>();
      Tensor moved(DType::kInt64, Shape{2 * n});
      for (int64_t axis = 0; axis < n; ++axis)
        for (int64_t end = 0; end < 2; ++end)
          moved.mutable_data<int64_t>()[static_cast<size_t>(end * n + moved_axis(axis, n))] =
              pads[static_cast<size_t>(end * n + axis)];
      node.inputs[1] = graph_.add_constant(node.name + "/pads", std::move(moved));
    }
  }

  void emit_on_twins(Node node) {
    const ValueId output = node.outputs[0];
    node.outputs[0] = new_twin(output);
    there_[index(output)] = false;
    graph_.nodes.push_back(std::move(node));
  }

  ValueId new_twin(ValueId id) {
    const ValueId made = graph_.add_value(graph_.value(id).name);
    graph_.value(made).quantization = graph_.value(id).quantization;
    graph_.value(made).rank = rank(id);
    twins_[index(id)] = made;
    return made;
  }

  ValueId twin(ValueId id) {
    if (!has_twin(id)) {
      const ValueId made = new_twin(id);
      add_transpose(id, made, to_last(rank(id)));
    }
    return twins_[index(id)];
  }

  void bring_back(ValueId id) {
    if (id == kNoValue || index(id) >= there_.size() || there_[index(id)]) return;
    there_[index(id)] = true;
    add_transpose(twins_[index(id)], id, to_first(rank(id)));
  }

  void add_transpose(ValueId from, ValueId to, std::vector<int64_t> permutation) {
    Node node{.op = "Transpose",
              .name = graph_.value(from).name + "/layout",
              .inputs = {from},
              .outputs = {to},
              .attributes = {},
              .opset = 13};
    node.attributes.set("perm", std::move(permutation));
    graph_.nodes.push_back(std::move(node));
  }

  Graph& graph_;
  std::vector<ValueId> twins_;  // of the values that were there before this pass
  std::vector<bool> there_;     // whether the value exists in the model's own order
};

}  // namespace

void use_channels_last(Graph& graph) { Layout(graph).run(); }

}  // namespace sanderling
