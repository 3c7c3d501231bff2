// The rewrites between import and planning, in the order in which lower() runs them. Each is right
// on its own and leaves the graph sorted; none looks at shapes, so the result serves every batch
// size.
#pragma once

#include "graph/activation_range.h"
#include "graph/graph.h"

namespace sanderling {

// Makes all tensors of float16 and bfloat16 inside the graph and its subgraphs float32; its inputs
// and outputs keep their types. What a Cast rounds stays rounded; what operators compute in between
// is more exact than the model asks for.
void widen_halves(Graph& graph);
// Evaluates nodes whose inputs are all constant. `keep_dequantize` leaves DequantizeLinear of
// constants for lower_qdq.
void fold_constants(Graph& graph, bool keep_dequantize);
// Finds Value::rank by inferring the graph once with trial extents for dynamic dimensions; -1 stays
// where that fails.
void find_ranks(Graph& graph);
// Drops Identity nodes.
void remove_identities(Graph& graph);
// Makes equal constants one, and nodes that compute the same from the same inputs.
void eliminate_common_subexpressions(Graph& graph);
// Makes Swish, Gelu and Mish of the products that exporters write for them.
void fuse_functions(Graph& graph);
// Merges BatchNormalization, and Mul, Div, Add and Sub by constants per channel, into the Conv,
// ConvTranspose, Gemm or MatMul beside them.
void fold_scales(Graph& graph);
// Rewrites DequantizeLinear - operator - QuantizeLinear into the integer operators of
// docs/integer-operators.md.
void lower_qdq(Graph& graph);
// Merges Relu and Clip into the float Conv, Gemm or MatMul before them.
void fuse_activations(Graph& graph);
// Gives spatial operators the [N, spatial..., C] layout that their kernels read, and keeps it
// across elementwise operators, so that transposes remain only where a layout is visible.
void use_channels_last(Graph& graph);
// Makes one table of a QLookup and the one before it.
void fuse_lookups(Graph& graph);
// Merges Add and QAdd into the convolution before them, where the shapes are likely to be the same.
void fuse_residuals(Graph& graph);

// Moves constants that subgraphs capture into them, and lowers them.
void lower_subgraphs(Graph& graph);

// All of the above.
void lower(Graph& graph);

// Shared by passes: what a Relu or Clip node clamps to, if it is one with constant bounds.
std::optional<ActivationRange> clamp_range(const Graph& graph, const Node& node);

}  // namespace sanderling
