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
      lower(*body);
      subgraph.graph = std::move(body);
    }
    drop_unread(node);
  }
  sort_and_prune(graph);
}

}  // namespace sanderling
