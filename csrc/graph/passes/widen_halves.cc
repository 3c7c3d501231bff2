#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "graph/passes/passes.h"
#include "graph/passes/trial_types.h"

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

// Attributes by which a node chooses the type of its first output, and that of what it computes.
constexpr std::array<std::string_view, 4> kOutputTypes{"to", "dtype", "output_dtype",
                                                       "output_datatype"};
constexpr std::array<std::string_view, 2> kInnerTypes{"stash_type", "softmax_precision"};

bool names_output_type(std::string_view attribute) {
  return std::ranges::find(kOutputTypes, attribute) != kOutputTypes.end();
}

bool names_type(std::string_view attribute) {
  return names_output_type(attribute) ||
         std::ranges::find(kInnerTypes, attribute) != kInnerTypes.end();
}

using ElementTypes = std::map<ValueId, DType>;

// The element types that the file states: of inputs, constants and what nodes choose by attributes.
ElementTypes stated_types(const Graph& graph) {
  ElementTypes stated;
  for (size_t id = 0; id < graph.values.size(); ++id)
    if (const auto& constant = graph.values[id].constant)
      stated[static_cast<ValueId>(id)] = constant->dtype();
  for (const GraphInput& input : graph.inputs) stated[input.value] = input.dtype;
  for (const Node& node : graph.nodes)
    for (const auto& [name, value] : node.attributes.all()) {
      const auto* number = std::get_if<int64_t>(&value);
      const auto dtype = number ? dtype_of_onnx_number(*number) : std::nullopt;
      if (dtype && names_output_type(name) && !node.outputs.empty())
        stated[node.outputs[0]] = *dtype;
    }
  return stated;
}

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
      if (number && is_half(*number) && names_type(name)) node.attributes.set(name, kFloat32);
    }
    graph_.nodes.push_back(std::move(node));
  }

  Graph& graph_;
};

// Makes CastLike to a half type a Cast to it, and from it, in a graph that is widened: there the
// type of its second input does not tell. What is float32 now was a half if the first float that
// its node reads was one; and none can tell where trial types lack it: there the cast to float32
// rounds nothing. Subgraphs have no trial types.
class CastsLikeHalves {
 public:
  CastsLikeHalves(Graph& graph, ElementTypes stated)
      : graph_(graph),
        origin_(std::move(stated)),
        // Batches of 1, and pictures that do not shrink to nothing.
        trial_(infer_trial_types(graph, 1, 64).types) {}

  void run() {
    std::vector<Node> originals;
    originals.swap(graph_.nodes);
    for (Node& node : originals) {
      follow(node);
      if (node.op != "CastLike" || !is_half_value(node.inputs[1])) {
        graph_.nodes.push_back(std::move(node));
        continue;
      }
      const ValueId narrow = graph_.add_value(graph_.value(node.outputs[0]).name + "/narrow");
      Node to = cast(node, node.inputs[0], narrow, onnx_number_of(origin_.at(node.inputs[1])));
      Node from = cast(node, narrow, node.outputs[0], kFloat32);
      graph_.nodes.push_back(std::move(to));
      graph_.nodes.push_back(std::move(from));
    }
  }

 private:
  bool is_half_value(ValueId id) const {
    const auto found = origin_.find(id);
    return found != origin_.end() && is_half(found->second);
  }

  void follow(const Node& node) {
    const size_t first = node.op == "CastLike" ? 1 : 0;
    for (size_t i = first; i < node.inputs.size(); ++i) {
      const auto found = origin_.find(node.inputs[i]);
      if (found == origin_.end() || !is_float(found->second)) continue;
      for (ValueId id : node.outputs)
        if (id != kNoValue && trial_.has_type(id) && trial_.type(id).dtype == DType::kFloat32)
          origin_.try_emplace(id, found->second);
      return;
    }
  }

  Graph& graph_;
  ElementTypes origin_;  // before it was widened
  const TypeInference trial_;
};

}  // namespace

void widen_halves(Graph& graph) {
  if (looks_at_bits(graph)) return;
  const bool casts_like = std::any_of(graph.nodes.begin(), graph.nodes.end(),
                                      [](const Node& node) { return node.op == "CastLike"; });
  const ElementTypes stated = casts_like ? stated_types(graph) : ElementTypes{};
  Widening(graph).run(/*is_subgraph=*/false);
  const bool has_halves = std::any_of(stated.begin(), stated.end(),
                                      [](const auto& each) { return is_half(each.second); });
  if (has_halves) CastsLikeHalves(graph, stated).run();
}

}  // namespace sanderling
