// Reads the parts of QDQ patterns: what lower_qdq.cc matches on.
#pragma once

#include <optional>
#include <span>

#include "graph/graph.h"

namespace sanderling {

// Weights of an integer operator: int8, output channels first, one scale or one per output channel,
// and one zero point per output channel where they cannot all be made 0.
struct IntegerWeights {
  Tensor codes;
  std::vector<float> scale;
  std::vector<int64_t> zero = {};
};

// A bias in the form that the integer operators take: int32 that counts in x_scale * weight_scale,
// or float32.
struct IntegerBias {
  std::optional<Tensor> tensor;  // absent: no bias
};

// Whether each can be divided and multiplied by: normal and positive.
bool valid_scales(std::span<const float> scales);

// The parameters of a QuantizeLinear or DequantizeLinear node with one scale, as uint8 codes (an
// int8 zero point is raised by 128); nothing if it is per axis, blocked, of another type or not
// constant. `dtype` gets the dtype of the model's own codes; without a zero point it is `implied`.
std::optional<Quantization> tensor_quantization(const Graph& graph, const Node& node, DType implied,
                                                DType& dtype);

// The uint8 codes of a constant 8-bit tensor whose dtype is `dtype` (int8 is raised by 128).
std::optional<Tensor> to_codes(const Tensor& tensor);

// What a Clip of the model's own codes, whose type is `dtype`, leaves of them as uint8; nothing if
// its bounds are not constant.
struct CodeBounds {
  uint8_t low, high;
};
std::optional<CodeBounds> code_bounds(const Graph& graph, const Node& clip, DType dtype);

// What a DequantizeLinear of a constant says: real = scale * (codes - zero), with one scale and
// zero point, or one per index of `axis`.
struct ConstantCodes {
  Tensor codes;  // int8 or uint8; codes of 4 bits become int8
  std::vector<float> scale;
  std::vector<int64_t> zero;  // as many
  int64_t axis = 0;
};
// Follows `id` to DequantizeLinear(constant); nothing where there is none, or one in blocks.
std::optional<ConstantCodes> constant_codes(const Graph& graph, const Uses& uses, ValueId id);

// Brings weights into integer form. `channel_axis` is the axis of output channels; Gemm and MatMul
// weights of [K, N] (channel_axis 1) are transposed to [N, K].
std::optional<IntegerWeights> integer_form(const ConstantCodes& codes, int64_t channel_axis);
// The same for those that `id` is the DequantizeLinear of.
std::optional<IntegerWeights> integer_weights(const Graph& graph, const Uses& uses, ValueId id,
                                              int64_t channel_axis);

// What a bias is added to: sums that count in x_scale * weight_scale.
struct BiasUse {
  int64_t channels;
  float x_scale;
  std::span<const float> weight_scale;  // one, or one per channel
  float factor = 1.0f;                  // what it is multiplied by
  bool broadcasts = false;              // one number may stand for all channels
};
// Brings a bias, constant or DequantizeLinear(int32 constant), into integer form; nothing if that
// is not possible.
std::optional<IntegerBias> integer_bias(const Graph& graph, const Uses& uses, ValueId id,
                                        const BiasUse& use);

// Takes apart what other tools have fused, operators on codes with constant scales among it:
// lower_qdq sees their QDQ form.
void expand_fused(Graph& graph);
// Moves Transpose, Reshape and the like from behind the DequantizeLinear of constants to before it.
void move_dequantize(Graph& graph);
// Merges the products of dynamic quantization with the scales and the bias that follow them.
void fuse_dynamic_products(Graph& graph);

}  // namespace sanderling
