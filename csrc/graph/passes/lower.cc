#include "graph/passes/passes.h"

namespace sanderling {

void lower(Graph& graph) {
  widen_halves(graph);
  sort_and_prune(graph);
  fold_constants(graph, /*keep_dequantize=*/true);
  find_ranks(graph);
  remove_identities(graph);
  fold_scales(graph);
  lower_qdq(graph);
  fold_constants(graph, /*keep_dequantize=*/false);
  fuse_activations(graph);
  use_channels_last(graph);
  fold_constants(graph, /*keep_dequantize=*/false);
  sort_and_prune(graph);
  lower_subgraphs(graph);
}

}  // namespace sanderling
