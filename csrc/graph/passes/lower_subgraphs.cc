#include <algorithm>

#include "graph/passes/passes.h"

namespace sanderling {
namespace {

// Gives the subgraph those of its captures that are constant by now.
void take_constants(const Graph& around, const Node& node, Subgraph& subgraph, Graph& body) {
  std::vector<size_t> kept;
  const size_t formal = body.inputs.size() - subgraph.captures.size();
  std::vector<GraphInput> inputs(body.inputs.begin(),
                                 body.inputs.begin() + static_cast<ptrdiff_t>(formal));
  for (size_t i = 0; i < subgraph.captures.size(); ++i) {
    const GraphInput& input = body.inputs[formal + i];
    if (const Tensor* constant = around.constant(node.inputs[subgraph.captures[i]])) {
      body.value(input.value).constant = *constant;
    } else {
      kept.push_back(subgraph.captures[i]);
      inputs.push_back(input);
    }
  }
  subgraph.captures = std::move(kept);
  body.inputs = std::move(inputs);
}

// Constants that a Loop only hands from one iteration to the next, as Paddle's exporter hands its
// weights, become the body's own: so they are packed once, not in each iteration.
void take_carried_constants(const Graph& around, const Node& node, Graph& body) {
  constexpr size_t kFirstInput = 2, kFirstOutput = 1;  // of what is carried, in the body
  for (size_t i = 0; kFirstInput + i < node.formal_inputs; ++i) {
    if (kFirstInput + i >= body.inputs.size() || kFirstOutput + i >= body.outputs.size()) return;
    const GraphInput& input = body.inputs[kFirstInput + i];
    const Tensor* const constant = around.constant(node.inputs[kFirstInput + i]);
    if (!constant || constant->dtype() != input.dtype ||
        body.outputs[kFirstOutput + i].value != input.value)
      continue;
    const ValueId carried = input.value;
    const ValueId own = body.add_constant(body.value(carried).name, *constant);
    for (Node& reader : body.nodes)
      std::replace(reader.inputs.begin(), reader.inputs.end(), carried, own);
  }
}

// Drops the captured inputs that no subgraph reads any more.
void drop_unread(Node& node) {
  std::vector<ValueId> inputs(node.inputs.begin(),
                              node.inputs.begin() + static_cast<ptrdiff_t>(node.formal_inputs));
  for (Subgraph& subgraph : node.subgraphs)
    for (size_t& capture : subgraph.captures) {
      inputs.push_back(node.inputs[capture]);
      capture = inputs.size() - 1;
    }
  node.inputs = std::move(inputs);
}

}  // namespace

void lower_subgraphs(Graph& graph) {
  for (Node& node : graph.nodes) {
    if (node.subgraphs.empty()) continue;
    for (Subgraph& subgraph : node.subgraphs) {
      auto body = std::make_shared<Graph>(*subgraph.graph);
      take_constants(graph, node, subgraph, *body);
      if (node.op == "Loop") take_carried_constants(graph, node, *body);
      lower(*body);
      subgraph.graph = std::move(body);
    }
    drop_unread(node);
  }
  sort_and_prune(graph);
}

}  // namespace sanderling
