#include "graph/passes/passes.h"

namespace sanderling {

void lower(Graph& graph) {
  widen_halves(graph);
  sort_and_prune(graph);
  fold_constants(graph, /*keep_dequantize=*/true);
  find_ranks(graph);
  remove_identities(graph);
  // Exporters give each reader its own QuantizeLinear; fusion asks for values that are read once.
  eliminate_common_subexpressions(graph);
  fuse_functions(graph);  // before a factor of theirs goes into the weights behind them
  fold_scales(graph);
  lower_qdq(graph);
  fold_constants(graph, /*keep_dequantize=*/false);
  fuse_activations(graph);
  use_channels_last(graph);
  fold_constants(graph, /*keep_dequantize=*/false);
  eliminate_common_subexpressions(graph);
  fuse_lookups(graph);
  fuse_residuals(graph);
  fuse_activations(graph);  // those behind the sums
  lower_subgraphs(graph);
}

}  // namespace sanderling
