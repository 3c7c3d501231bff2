#include "graph/graph.h"

#include <algorithm>

namespace sanderling {
namespace {

template <typename T>
const T* find(const std::map<std::string, Attribute>& values, const std::string& name,
              const char* expected) {
  const auto it = values.find(name);
  if (it == values.end()) return nullptr;
  if (const T* value = std::get_if<T>(&it->second)) return value;
  fail(ErrorCode::kModel, "attribute '", name, "' is not of type ", expected);
}

}  // namespace

int64_t Attributes::integer(const std::string& name, int64_t otherwise) const {
  const auto* value = find<int64_t>(values_, name, "int");
  return value ? *value : otherwise;
}

float Attributes::number(const std::string& name, float otherwise) const {
  const auto* value = find<float>(values_, name, "float");
  return value ? *value : otherwise;
}

std::string Attributes::text(const std::string& name, const std::string& otherwise) const {
  const auto* value = find<std::string>(values_, name, "string");
  return value ? *value : otherwise;
}

std::vector<int64_t> Attributes::integers(const std::string& name,
                                          std::vector<int64_t> otherwise) const {
  const auto* value = find<std::vector<int64_t>>(values_, name, "ints");
  return value ? *value : otherwise;
}

std::vector<float> Attributes::numbers(const std::string& name,
                                       std::vector<float> otherwise) const {
  const auto* value = find<std::vector<float>>(values_, name, "floats");
  return value ? *value : otherwise;
}

const Tensor* Attributes::tensor(const std::string& name) const {
  return find<Tensor>(values_, name, "tensor");
}

ValueId Graph::add_value(std::string value_name) {
  values.emplace_back().name = std::move(value_name);
  return static_cast<ValueId>(values.size() - 1);
}

ValueId Graph::add_constant(std::string value_name, Tensor tensor) {
  const ValueId id = add_value(std::move(value_name));
  value(id).constant = std::move(tensor);
  return id;
}

const Tensor* Graph::constant(ValueId id) const {
  if (id == kNoValue || !value(id).constant) return nullptr;
  return &*value(id).constant;
}

bool Graph::is_output(ValueId id) const {
  return std::any_of(outputs.begin(), outputs.end(),
                     [id](const GraphOutput& output) { return output.value == id; });
}

Uses::Uses(const Graph& graph)
    : producer_(graph.values.size(), -1),
      readers_(graph.values.size()),
      output_(graph.values.size(), false) {
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (ValueId id : graph.nodes[n].outputs)
      if (id != kNoValue) producer_[static_cast<size_t>(id)] = static_cast<int>(n);
    for (ValueId id : graph.nodes[n].inputs)
      if (id != kNoValue) readers_[static_cast<size_t>(id)].push_back(static_cast<int>(n));
  }
  for (const GraphOutput& output : graph.outputs) output_[static_cast<size_t>(output.value)] = true;
}

void sort_and_prune(Graph& graph) {
  const Uses uses(graph);
  std::vector<bool> given(graph.values.size(), false);
  for (const GraphInput& input : graph.inputs) given[static_cast<size_t>(input.value)] = true;

  enum class State : uint8_t { kNew, kOpen, kDone };
  std::vector<State> state(graph.nodes.size(), State::kNew);
  std::vector<size_t> order;
  // Depth-first with an explicit stack: a hostile chain of nodes must not exhaust the call stack.
  struct Frame {
    size_t node;
    size_t next_input;
  };
  std::vector<Frame> stack;
  const auto visit_value = [&](ValueId id, const std::string& reader) {
    if (id == kNoValue || graph.value(id).constant || given[static_cast<size_t>(id)]) return;
    const int producer = uses.producer(id);
    if (producer < 0)
      fail(ErrorCode::kModel, "value '", graph.value(id).name, "' read by ", reader,
           " is produced by no node, input or initializer");
    const auto node = static_cast<size_t>(producer);
    if (state[node] == State::kOpen)
      fail(ErrorCode::kModel, "[", graph.nodes[node].op, "] node '", graph.nodes[node].name,
           "' depends on its own output. Export the model again");
    if (state[node] == State::kNew) {
      state[node] = State::kOpen;
      stack.push_back({node, 0});
    }
  };
  for (const GraphOutput& output : graph.outputs) {
    visit_value(output.value, "the graph's outputs");
    while (!stack.empty()) {
      const size_t node = stack.back().node;
      if (stack.back().next_input < graph.nodes[node].inputs.size()) {
        const ValueId input = graph.nodes[node].inputs[stack.back().next_input++];
        visit_value(input, "node '" + graph.nodes[node].name + "'");
      } else {
        state[node] = State::kDone;
        order.push_back(node);
        stack.pop_back();
      }
    }
  }
  std::vector<Node> sorted;
  sorted.reserve(order.size());
  for (size_t node : order) sorted.push_back(std::move(graph.nodes[node]));
  graph.nodes = std::move(sorted);

  // Constants that nothing reads any more would only hold memory.
  const Uses needed(graph);
  for (size_t id = 0; id < graph.values.size(); ++id) {
    const auto value = static_cast<ValueId>(id);
    if (graph.values[id].constant && needed.readers(value).empty() && !graph.is_output(value))
      graph.values[id].constant.reset();
  }
}

}  // namespace sanderling
