// Conv, ConvTranspose, Gemm and MatMul with constant weights, as folding passes see them.
#pragma once

#include <optional>
#include <vector>

#include "graph/passes/qdq.h"

namespace sanderling {

struct WeightedLayer {
  enum class Kind : uint8_t { kConv, kConvTranspose, kGemm, kMatMul };
  Kind kind;
  Shape weights;  // as the node has them
  int64_t groups = 1;
  bool transposed = false;  // Gemm's weights are [N, K]

  int64_t outputs() const;                   // channels
  int64_t inputs() const;                    // channels
  int64_t output_of(int64_t element) const;  // the channel that an element of weights makes
  int64_t input_of(int64_t element) const;   // the channel that it multiplies
  int64_t rank(const Graph& graph, const Node& node) const;  // of x and y, -1 if not known
  int64_t channel_axis(int64_t rank) const { return kind == Kind::kMatMul ? rank - 1 : 1; }
  bool takes_bias() const { return kind != Kind::kMatMul; }
  // The axis of the weights along which a scale of codes is one per output channel; -1: none.
  int64_t scale_axis() const;
};

// Nothing where the node is something else, or its weights are neither float32 constants nor the
// DequantizeLinear of constants.
std::optional<WeightedLayer> weighted_layer(const Graph& graph, const Uses& uses, const Node& node);

// Its bias, 0 where it has none; nothing where that is not constant.
std::optional<std::vector<double>> layer_bias(const Graph& graph, const Uses& uses,
                                              const Node& node, const WeightedLayer& layer);

}  // namespace sanderling
