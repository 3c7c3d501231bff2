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
      : graph_(graph),
        twins_(graph.values.size(), kNoValue),
        there_(graph.values.size(), true),
        wanted_(graph.values.size(), false) {}

  void run() {
    std::vector<Node> originals;
    originals.swap(graph_.nodes);
    find_wanted(originals);
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

  // Which values something spatial reads, perhaps behind operators that take any layout.
  void find_wanted(const std::vector<Node>& nodes) {
    for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
      const bool spatial = spatial_rank(*node) > 0;
      const bool follower =
          node->outputs.size() == 1 && takes_any_layout(*node) && wanted_[index(node->outputs[0])];
      if (!spatial && !follower) continue;
      const bool all = follower && !reads_one(*node);
      for (size_t i = 0; i < (all ? node->inputs.size() : 1); ++i)
        if (node->inputs[i] != kNoValue) wanted_[index(node->inputs[i])] = true;
    }
  }

  static bool takes_any_layout(const Node& node) {
    return node.op == "Concat" || reads_one(node) || find_operator(node.op)->elementwise;
  }

  void place(Node node) {
    if (is_own_transpose(node)) {
      place_transpose(node);
    } else if (spatial_rank(node) > 0) {
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

  // A Transpose of the model that goes from channels-last order to its own, or back: TensorFlow's
  // models, converted, have one on each side of what is spatial.
  bool is_own_transpose(const Node& node) const {
    if (node.op != "Transpose" || node.inputs.size() != 1) return false;
    const int n = rank(node.outputs[0]);
    if (n < 3 || rank(node.inputs[0]) != n) return false;
    const std::vector<int64_t> permutation = node.attributes.integers("perm", {});
    if (has_twin(node.inputs[0])) return permutation == to_last(n);
    return permutation == to_first(n) && wanted_[index(node.outputs[0])];
  }

  // The input of the one is its output's twin, and the twin of the other's input its output.
  void place_transpose(const Node& node) {
    const ValueId input = node.inputs[0], output = node.outputs[0];
    if (!has_twin(input)) {
      twins_[index(output)] = input;
      there_[index(output)] = false;
    } else {
      graph_.nodes.push_back({.op = "Identity",
                              .name = node.name,
                              .inputs = {twins_[index(input)]},
                              .outputs = {output},
                              .attributes = {},
                              .opset = 13});
    }
  }

  // The rank of the tensors of a convolution or pool that has kernels for channels-last, else 0.
  int spatial_rank(const Node& node) const {
    if (node.outputs.size() != 1) return 0;  // MaxPool with indices counts in the model's own order
    if (node.inputs.empty() || node.inputs[0] == kNoValue) return 0;
    int found = 0;
    if (node.op == "Conv" || node.op == "QConv") {
      const Tensor* weights = graph_.constant(node.inputs[1]);
      found = weights ? static_cast<int>(weights->shape().rank()) : rank(node.inputs[1]);
    } else if (node.op == "MaxPool" || node.op == "AveragePool") {
      found = static_cast<int>(node.attributes.integers("kernel_shape", {}).size()) + 2;
    } else if (node.op == "QAveragePool" || node.op == "GlobalAveragePool" ||
               node.op == "GlobalMaxPool") {
      found = rank(node.inputs[0]);
    }
    // A kernel whose rank is not the input's is left for the operator to refuse in the model's own
    // terms.
    if (rank(node.inputs[0]) >= 0 && rank(node.inputs[0]) != found) return 0;
    return found >= 3 && found <= 5 ? found : 0;  // what PixelGrid has axes for
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
    const bool one = reads_one(node);
    if (one && !can_move(node)) return false;
    if (!concat && !one && !find_operator(node.op)->elementwise) return false;
    const size_t data_inputs = one ? 1 : node.inputs.size();
    bool any = false;
    for (size_t i = 0; i < data_inputs; ++i) {
      const ValueId id = node.inputs[i];
      if (id == kNoValue) continue;
      any = any || has_twin(id);
      if (stays(id, node) || has_fewer_axes(id, n)) continue;
      if (rank(id) != n) return false;
    }
    return any;
  }

  // Operators that know axes by their place: their other inputs and attributes are brought to the
  // twin's order.
  static bool reads_one(const Node& node) {
    for (const char* op :
         {"Pad", "Resize", "Upsample", "DepthToSpace", "SpaceToDepth", "InstanceNormalization"})
      if (node.op == op) return true;
    return false;
  }

  bool can_move(const Node& node) const {
    if (node.op == "Pad") return can_move_pad(node);
    if (node.op == "Resize" || node.op == "Upsample") return can_move_resize(node);
    return node.op == "InstanceNormalization" || rank(node.outputs[0]) == 4;
  }

  // A constant that is broadcast to more axes than it has, such as [C, 1, 1].
  bool has_fewer_axes(ValueId id, int n) const {
    const Tensor* constant = graph_.constant(id);
    return constant && constant->shape().rank() < n;
  }

  // Such a constant with all axes, in channels-last order.
  ValueId spread(ValueId id, int n) {
    const Tensor& constant = *graph_.constant(id);
    std::vector<int64_t> dims(static_cast<size_t>(n - constant.shape().rank()), 1);
    dims.insert(dims.end(), constant.shape().dims().begin(), constant.shape().dims().end());
    const std::string name = graph_.value(id).name;
    const std::optional<Quantization> quantization = graph_.value(id).quantization;
    const ValueId made = graph_.add_constant(name, constant.reshaped(Shape(std::move(dims))));
    const ValueId turned = graph_.add_value(name);
    for (ValueId value : {made, turned}) {
      graph_.value(value).quantization = quantization;
      graph_.value(value).rank = n;
    }
    add_transpose(made, turned, to_last(n));
    return turned;
  }

  // Inputs that mean the same in any layout: one-element constants, and the table of a lookup.
  bool stays(ValueId id, const Node& node) const {
    const Tensor* constant = graph_.constant(id);
    return constant &&
           (constant->shape().elements() == 1 || (node.op == "QLookup" && id == node.inputs[1]));
  }

  std::vector<ValueId> twin_inputs(const Node& node) {
    std::vector<ValueId> inputs = node.inputs;
    const int n = rank(node.outputs[0]);
    const size_t data_inputs = reads_one(node) ? 1 : inputs.size();
    for (size_t i = 0; i < data_inputs; ++i)
      if (inputs[i] != kNoValue && !stays(inputs[i], node))
        inputs[i] = has_fewer_axes(inputs[i], n) ? spread(inputs[i], n) : twin(inputs[i]);
    for (size_t i = data_inputs; i < inputs.size(); ++i) bring_back(inputs[i]);
    return inputs;
  }

  bool can_move_pad(const Node& node) const {
    return node.opset >= 11 && node.inputs.size() >= 2 && graph_.constant(node.inputs[1]) &&
           (node.inputs.size() < 4 || node.inputs[3] == kNoValue) &&
           graph_.constant(node.inputs[1])->dtype() == DType::kInt64 &&
           graph_.constant(node.inputs[1])->shape().elements() == 2 * rank(node.outputs[0]);
  }

  // Not where a region is cropped: its corners would have to move too.
  bool can_move_resize(const Node& node) const {
    if (node.op == "Upsample" ? node.opset < 9 : node.opset < 10) return false;
    const int64_t n = rank(node.outputs[0]);
    // What does not fit is left for the operator to refuse in the model's own terms.
    for (int64_t axis : node.attributes.integers("axes", {}))
      if (axis < -n || axis >= n) return false;
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      const Tensor* given = graph_.constant(node.inputs[i]);
      const int64_t count = given ? given->shape().elements() : n;
      const bool is_roi = node.op == "Resize" && node.opset >= 11 && i == 1;
      if (!is_roi && !node.attributes.has("axes") && count != 0 && count != n) return false;
    }
    return rank(node.inputs[0]) == n &&
           node.attributes.text("coordinate_transformation_mode", "") != "tf_crop_and_resize";
  }

  void move_resize(Node& node, int n) {
    if (node.attributes.has("axes")) {
      std::vector<int64_t> axes = node.attributes.integers("axes", {});
      for (int64_t& axis : axes) axis = moved_axis(axis, n);
      node.attributes.set("axes", std::move(axes));
      return;
    }
    const ValueId order =
        graph_.add_constant(node.name + "/order", Tensor::of<int64_t>(Shape{n}, to_last(n)));
    const bool has_roi = node.op == "Resize" && node.opset >= 11;
    for (size_t i = has_roi ? 2 : 1; i < node.inputs.size(); ++i) {
      const Tensor* given = graph_.constant(node.inputs[i]);
      // Exporters write an empty list for one that is left out.
      if (node.inputs[i] == kNoValue || (given && given->shape().elements() == 0)) continue;
      const ValueId moved = graph_.add_value(node.name + "/moved");
      graph_.value(moved).rank = 1;
      graph_.nodes.push_back({.op = "Gather",
                              .name = node.name,
                              .inputs = {node.inputs[i], order},
                              .outputs = {moved},
                              .attributes = {},
                              .opset = 13});
      node.inputs[i] = moved;
    }
  }

  void move_axes(Node& node) {
    const int n = rank(node.outputs[0]);
    if (node.op == "Resize" || node.op == "Upsample") return move_resize(node, n);
    if (node.op == "DepthToSpace" || node.op == "SpaceToDepth" ||
        node.op == "InstanceNormalization")
      node.attributes.set("channels_last", int64_t{1});
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
  std::vector<bool> wanted_;    // find_wanted
};

}  // namespace

void use_channels_last(Graph& graph) { Layout(graph).run(); }

}  // namespace sanderling
