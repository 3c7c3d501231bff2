#include "graph/passes/coded_graph.h"

#include <algorithm>
#include <cmath>

namespace sanderling {

CodedGraph::CodedGraph(Graph& graph)
    : graph_(graph),
      uses_(graph),
      codes_(graph.values.size(), kNoValue),
      quantized_(graph.values.size()) {}

const Node* CodedGraph::producer(ValueId id) const {
  const int n = id == kNoValue ? -1 : uses_.producer(id);
  return n < 0 ? nullptr : &graph_.nodes[static_cast<size_t>(n)];
}

void CodedGraph::sort_and_prune() {
  sanderling::sort_and_prune(graph_);
  makers_.clear();
  uses_ = Uses(graph_);
}

ValueId CodedGraph::codes_of(ValueId id) const {
  const auto i = static_cast<size_t>(id);
  return id != kNoValue && i < codes_.size() ? codes_[i] : kNoValue;
}

QuantizedValue CodedGraph::quantized_of(ValueId id) const {
  const auto i = static_cast<size_t>(id);
  return id != kNoValue && i < quantized_.size() ? quantized_[i] : QuantizedValue{};
}

ValueId CodedGraph::add_codes(const std::string& name, Quantization quantization, int rank) {
  const ValueId id = graph_.add_value(name);
  graph_.value(id).quantization = quantization;
  graph_.value(id).rank = rank;
  return id;
}

ValueId CodedGraph::add_constant_codes(ValueId original, Tensor tensor,
                                       const Quantization& quantization) {
  const int rank = static_cast<int>(tensor.shape().rank());
  const ValueId id = graph_.add_constant(graph_.value(original).name + "/codes", std::move(tensor));
  graph_.value(id).quantization = quantization;
  graph_.value(id).rank = rank;
  return id;
}

Node& CodedGraph::add_node(std::string op, const Node& like, std::vector<ValueId> inputs,
                           ValueId output) {
  Node node{.op = std::move(op),
            .name = like.name,
            .inputs = std::move(inputs),
            .outputs = {output},
            .attributes = {},
            .opset = like.opset};
  makers_[output] = graph_.nodes.size();
  return graph_.nodes.emplace_back(std::move(node));
}

Node* CodedGraph::maker(ValueId id) {
  const auto it = makers_.find(id);
  return it == makers_.end() ? nullptr : &graph_.nodes[it->second];
}

bool is_one_of(const std::string& op, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* name) { return op == name; });
}

uint8_t quantize(float x, const Quantization& quantization) {
  const float code =
      std::nearbyint(x / quantization.scale) + static_cast<float>(quantization.zero_point);
  return code > 0.0f ? static_cast<uint8_t>(std::min(code, 255.0f)) : uint8_t{0};
}

}  // namespace sanderling
