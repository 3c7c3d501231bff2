#include "plan/check_graph.h"

#include "core/error.h"
#include "graph/operator.h"

namespace sanderling {
namespace {

template <typename... Parts>
void require(bool holds, const Parts&... what) {
  if (!holds) fail(ErrorCode::kModel, "[plan] wrong: ", what...);
}

class GraphCheck {
 public:
  explicit GraphCheck(const Graph& graph) : graph_(graph), there_(graph.values.size(), false) {}

  void run() {
    for (size_t id = 0; id < graph_.values.size(); ++id) {
      const Value& value = graph_.values[id];
      there_[id] = value.constant.has_value();
      require(value.rank >= -1 && value.rank <= Shape::kMaxRank, "rank");
      if (value.quantization)
        require(value.quantization->zero_point >= 0 && value.quantization->zero_point <= 255,
                "zero point");
    }
    for (const GraphInput& input : graph_.inputs) {
      appear(input.value);
      require(input.dims.size() == input.symbols.size(), "input");
    }
    for (const Node& node : graph_.nodes) check(node);
    for (const GraphOutput& output : graph_.outputs) {
      require_there(output.value);
      require(!output.dims || output.dims->size() == output.symbols.size(), "output");
    }
  }

 private:
  bool exists(ValueId id) const { return id >= 0 && static_cast<size_t>(id) < there_.size(); }
  void require_there(ValueId id) const {
    require(exists(id) && there_[static_cast<size_t>(id)], "value");
  }
  // Each value comes from one place.
  void appear(ValueId id) {
    require(exists(id) && !there_[static_cast<size_t>(id)], "value");
    there_[static_cast<size_t>(id)] = true;
  }

  void check(const Node& node) {
    const Operator* const op = find_operator(node.op);
    require(op != nullptr, "operator");
    const bool has_subgraphs = !node.subgraphs.empty();
    require(node.formal_inputs <= node.inputs.size(), "inputs");
    const size_t given = has_subgraphs ? node.formal_inputs : node.inputs.size();
    require(given >= op->min_inputs && given <= op->max_inputs, "inputs");
    require(!node.outputs.empty() && node.outputs.size() <= op->max_outputs, "outputs");
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (i < op->min_inputs || node.inputs[i] != kNoValue) require_there(node.inputs[i]);
    for (const Subgraph& subgraph : node.subgraphs) {
      require(subgraph.captures.size() <= subgraph.graph->inputs.size(), "captures");
      for (size_t input : subgraph.captures) {
        require(input < node.inputs.size(), "captures");
        require_there(node.inputs[input]);
      }
      check_graph(*subgraph.graph);
    }
    for (ValueId id : node.outputs)
      if (id != kNoValue) appear(id);
  }

  const Graph& graph_;
  std::vector<bool> there_;
};

}  // namespace

void check_graph(const Graph& graph) { GraphCheck(graph).run(); }

}  // namespace sanderling
