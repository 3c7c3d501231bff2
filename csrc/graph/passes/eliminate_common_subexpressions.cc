// Constants of equal content become one, and so do nodes that compute the same from the same. All
// operators are functions of their inputs and attributes; only nodes with subgraphs are left alone,
// since comparing those costs more than such models would gain.
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>

#include "graph/passes/passes.h"

namespace sanderling {
namespace {

// What makes two nodes or constants equal, as bytes: numbers are compared by their bits, so that 0
// and -0 differ and a NaN equals itself.
class Key {
 public:
  template <typename T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void add(T x) {
    bytes_.append(reinterpret_cast<const char*>(&x), sizeof(x));
  }
  void add(const std::string& x) {
    add(x.size());
    bytes_ += x;
  }
  template <typename T>
  void add(const std::vector<T>& x) {
    add(x.size());
    for (const T& element : x) add(element);
  }
  void add(const TensorType& x) {
    add(x.dtype);
    add(x.shape.dims());
  }
  void add(const Tensor& x) {
    add(x.type());
    bytes_.append(static_cast<const char*>(x.raw()), x.type().bytes());
  }
  void add(const Attributes& attributes) {
    for (const auto& [name, attribute] : attributes.all()) {
      add(name);
      add(attribute.index());
      std::visit([&](const auto& x) { add(x); }, attribute);
    }
  }
  void add(const std::optional<Quantization>& x) {
    add(x.has_value());
    add(x ? x->scale : 0.0f);
    add(x ? x->zero_point : 0);
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

std::string key_of(const Graph& graph, const Node& node) {
  Key key;
  key.add(node.op);
  key.add(node.opset);
  key.add(node.inputs);
  // An operator may count its outputs (Split), or do what those that are wanted need.
  for (ValueId id : node.outputs) {
    key.add(id != kNoValue);
    if (id != kNoValue) key.add(graph.value(id).quantization);
  }
  key.add(node.attributes);
  return key.take();
}

std::string_view bytes_of(const Tensor& tensor) {
  return {static_cast<const char*>(tensor.raw()), tensor.type().bytes()};
}

class Merging {
 public:
  explicit Merging(Graph& graph) : graph_(graph), same_as_(graph.values.size()) {
    for (size_t id = 0; id < same_as_.size(); ++id) same_as_[id] = static_cast<ValueId>(id);
  }

  void run() {
    merge_constants();
    merge_nodes();
    for (GraphOutput& output : graph_.outputs) output.value = merged(output.value);
    sort_and_prune(graph_);
  }

 private:
  ValueId merged(ValueId id) const {
    return id == kNoValue ? id : same_as_[static_cast<size_t>(id)];
  }

  // One constant per hash is looked at again: the time stays linear, whatever the file holds.
  void merge_constants() {
    std::unordered_map<size_t, ValueId> first;
    for (size_t i = 0; i < same_as_.size(); ++i) {
      const auto id = static_cast<ValueId>(i);
      const Tensor* tensor = graph_.constant(id);
      if (!tensor) continue;
      Key type;
      type.add(tensor->type());
      type.add(graph_.value(id).quantization);
      const std::hash<std::string_view> hash;
      const size_t mixed = hash(type.take()) * 31 + hash(bytes_of(*tensor));
      const auto [found, added] = first.try_emplace(mixed, id);
      if (!added && equal_constants(found->second, id)) same_as_[i] = found->second;
    }
  }

  bool equal_constants(ValueId a, ValueId b) const {
    const Value& x = graph_.value(a);
    const Value& y = graph_.value(b);
    return x.constant->type() == y.constant->type() && x.quantization == y.quantization &&
           bytes_of(*x.constant) == bytes_of(*y.constant);
  }

  void merge_nodes() {
    std::unordered_map<std::string, const Node*> first;
    for (Node& node : graph_.nodes) {
      for (ValueId& id : node.inputs) id = merged(id);
      if (!node.subgraphs.empty()) continue;
      const auto [found, added] = first.try_emplace(key_of(graph_, node), &node);
      if (added) continue;
      for (size_t i = 0; i < node.outputs.size(); ++i)
        if (node.outputs[i] != kNoValue)
          same_as_[static_cast<size_t>(node.outputs[i])] = found->second->outputs[i];
    }
  }

  Graph& graph_;
  std::vector<ValueId> same_as_;
};

}  // namespace

void eliminate_common_subexpressions(Graph& graph) { Merging(graph).run(); }

}  // namespace sanderling
