#include <algorithm>
#include <array>
#include <string_view>

#include "graph/passes/passes.h"

namespace sanderling {
namespace {

bool is_half(DType dtype) { return dtype == DType::kFloat16 || dtype == DType::kBFloat16; }

bool is_half(int64_t onnx_number) {
  const std::optional<DType> dtype = dtype_of_onnx_number(onnx_number);
  return dtype && is_half(*dtype);
}

const int64_t kFloat32 = onnx_number_of(DType::kFloat32);

template <typename Half>
Tensor widened_from(const Tensor& tensor) {
  Tensor wide(DType::kFloat32, tensor.shape());
  std::transform(tensor.data<Half>().begin(), tensor.data<Half>().end(),
                 wide.mutable_data<float>().begin(),
                 [](Half half) { return static_cast<float>(half); });
  return wide;
}

Tensor widened(const Tensor& tensor) {
  if (tensor.dtype() == DType::kFloat16) return widened_from<Float16>(tensor);
  if (tensor.dtype() == DType::kBFloat16) return widened_from<BFloat16>(tensor);
  return tensor;
}

// BitCast is about the bits that widening changes.
bool looks_at_bits(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& node) {
    return node.op == "BitCast" ||
           std::any_of(node.subgraphs.begin(), node.subgraphs.end(),
                       [](const Subgraph& subgraph) { return looks_at_bits(*subgraph.graph); });
  });
}

Node cast(const Node& like, ValueId from, ValueId to, int64_t onnx_number) {
  Node node{.op = "Cast",
            .name = like.name + "/halves",
            .inputs = {from},
            .outputs = {to},
            .attributes = {},
            .opset = 13};
  node.attributes.set("to", onnx_number);
  return node;
}

// Attributes by which a node chooses the type of what it computes or gives.
constexpr std::array<const char*, 6> kTypeAttributes{
    "to", "dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision"};

class Widening {
 public:
  explicit Widening(Graph& graph) : graph_(graph) {}

  void run(bool is_subgraph) {
    for (Value& value : graph_.values)
      if (value.constant) value.constant = widened(*value.constant);
    std::vector<Node> originals;
    originals.swap(graph_.nodes);
    if (!is_subgraph) widen_inputs(originals);
    for (Node& node : originals) place(std::move(node));
    if (!is_subgraph) narrow_outputs();
    sort_and_prune(graph_);
  }

 private:
  void widen_inputs(std::vector<Node>& nodes) {
    for (const GraphInput& input : graph_.inputs) {
      if (!is_half(input.dtype)) continue;
      const ValueId wide = graph_.add_value(graph_.value(input.value).name + "/wide");
      for (Node& node : nodes)
        std::replace(node.inputs.begin(), node.inputs.end(), input.value, wide);
      // An input that is an output too stays as it is.
      graph_.nodes.push_back(cast({.op = "",
                                   .name = graph_.value(input.value).name,
                                   .inputs = {},
                                   .outputs = {},
                                   .attributes = {}},
                                  input.value, wide, kFloat32));
    }
  }

  void narrow_outputs() {
    for (GraphOutput& output : graph_.outputs) {
      const bool given =
          std::any_of(graph_.inputs.begin(), graph_.inputs.end(),
                      [&](const auto& input) { return input.value == output.value; });
      if (!output.dtype || !is_half(*output.dtype) || given) continue;
      const ValueId narrow = graph_.add_value(output.name + "/narrow");
      graph_.nodes.push_back(
          cast({.op = "", .name = output.name, .inputs = {}, .outputs = {}, .attributes = {}},
               output.value, narrow, onnx_number_of(*output.dtype)));
      output.value = narrow;
    }
  }

  void place(Node node) {
    for (Subgraph& subgraph : node.subgraphs) {
      auto body = std::make_shared<Graph>(*subgraph.graph);
      Widening(*body).run(/*is_subgraph=*/true);
      subgraph.graph = std::move(body);
    }
    if (node.op == "Cast" && is_half(node.attributes.integer("to", 0))) {
      const ValueId narrow = graph_.add_value(graph_.value(node.outputs[0]).name + "/narrow");
      const ValueId wide = node.outputs[0];
      node.outputs[0] = narrow;
      const Node after = cast(node, narrow, wide, kFloat32);
      graph_.nodes.push_back(std::move(node));
      graph_.nodes.push_back(after);
      return;
    }
    const Attributes attributes = node.attributes;
    for (const auto& [name, value] : attributes.all()) {
      if (const auto* tensor = std::get_if<Tensor>(&value))
        node.attributes.set(name, widened(*tensor));
      const auto* number = std::get_if<int64_t>(&value);
      if (number && is_half(*number) &&
          std::find(kTypeAttributes.begin(), kTypeAttributes.end(), std::string_view(name)) !=
              kTypeAttributes.end())
        node.attributes.set(name, kFloat32);
    }
    graph_.nodes.push_back(std::move(node));
  }

  Graph& graph_;
};

}  // namespace

void widen_halves(Graph& graph) {
  if (!looks_at_bits(graph)) Widening(graph).run(/*is_subgraph=*/false);
}

}  // namespace sanderling
