// A table of a table is a table: lower_qdq makes one of each chain of operators between two
// quantizers, this pass makes one of chains of those.
#include "graph/passes/passes.h"

namespace sanderling {
namespace {

// Entry i is second[first[i]]; tables hold bytes, whatever their type.
Tensor composed(const Tensor& first, const Tensor& second) {
  Tensor table(second.type());
  const auto* inner = static_cast<const uint8_t*>(first.raw());
  const auto* outer = static_cast<const uint8_t*>(second.raw());
  auto* entries = static_cast<uint8_t*>(table.mutable_raw());
  for (size_t i = 0; i < 256; ++i) entries[i] = outer[inner[i]];
  return table;
}

}  // namespace

void fuse_lookups(Graph& graph) {
  const Uses uses(graph);
  for (Node& node : graph.nodes) {
    if (node.op != "QLookup" || !uses.read_once(node.inputs[0])) continue;
    const int producer = uses.producer(node.inputs[0]);
    if (producer < 0 || graph.nodes[static_cast<size_t>(producer)].op != "QLookup") continue;
    const Node& before = graph.nodes[static_cast<size_t>(producer)];
    const Tensor *first = graph.constant(before.inputs[1]),
                 *second = graph.constant(node.inputs[1]);
    if (!first || !second) continue;
    Tensor table = composed(*first, *second);
    node.inputs = {before.inputs[0], graph.add_constant(node.name + "/table", std::move(table))};
  }
  sort_and_prune(graph);
}

}  // namespace sanderling
