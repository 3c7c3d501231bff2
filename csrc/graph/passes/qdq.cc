#include "graph/passes/qdq.h"

#include <algorithm>
#include <cmath>

#include "core/small_types.h"
#include "graph/evaluate.h"

namespace sanderling {
namespace {

// DequantizeLinear's and the product's scales agree to float rounding: both were rounded once or
// twice from the same number.
constexpr double kScaleTolerance = 1e-6;

const Node* dequantize_of_constant(const Graph& graph, const Uses& uses, ValueId id) {
  if (id == kNoValue) return nullptr;
  const int producer = uses.producer(id);
  if (producer < 0) return nullptr;
  const Node& node = graph.nodes[static_cast<size_t>(producer)];
  if (node.op != "DequantizeLinear" || !graph.constant(node.inputs[0])) return nullptr;
  return &node;
}

const Tensor* optional_constant(const Graph& graph, const Node& node, size_t i) {
  return i < node.inputs.size() ? graph.constant(node.inputs[i]) : nullptr;
}

bool has_input(const Node& node, size_t i) {
  return i < node.inputs.size() && node.inputs[i] != kNoValue;
}

int32_t code_at(const Tensor& tensor, size_t i) {
  return tensor.dtype() == DType::kInt8 ? tensor.data<int8_t>()[i] : tensor.data<uint8_t>()[i];
}

// One number per channel along the last axis, which is how a bias is broadcast; [channels, 1] would
// go along the rows.
bool is_bias(const Shape& shape, int64_t channels) {
  return shape.elements() == channels && (shape.rank() == 0 || shape[shape.rank() - 1] == channels);
}

int64_t zero_point_of(const ConstantCodes& c, size_t channel) {
  return c.zero[c.zero.size() == 1 ? 0 : channel];
}

// s8 weights less their zero point, if every result still fits int8.
std::optional<Tensor> centre(const ConstantCodes& c, int64_t channels, int64_t inner) {
  Tensor centred(DType::kInt8, c.codes.shape());
  auto out = centred.mutable_data<int8_t>();
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t channel = i / static_cast<size_t>(inner) % static_cast<size_t>(channels);
    const int64_t code = code_at(c.codes, i) - zero_point_of(c, channel);
    if (code < -128 || code > 127) return std::nullopt;
    out[i] = static_cast<int8_t>(code);
  }
  return centred;
}

// Weights that keep their zero point: uint8 codes are lowered by 128 to int8, and it with them.
Tensor lower_to_int8(const Tensor& weights) {
  const int32_t shift = weights.dtype() == DType::kUInt8 ? 128 : 0;
  Tensor codes(DType::kInt8, weights.shape());
  auto out = codes.mutable_data<int8_t>();
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<int8_t>(code_at(weights, i) - shift);
  return codes;
}

std::vector<int64_t> lowered_zero_points(const ConstantCodes& c, int64_t channels) {
  const int32_t shift = c.codes.dtype() == DType::kUInt8 ? 128 : 0;
  std::vector<int64_t> zeros;
  for (int64_t o = 0; o < channels; ++o)
    zeros.push_back(zero_point_of(c, static_cast<size_t>(o)) - shift);
  return zeros;
}

Tensor transpose(const Tensor& weights) {
  const int64_t rows = weights.shape()[0], columns = weights.shape()[1];
  Tensor result(DType::kInt8, Shape{columns, rows});
  const auto in = weights.data<int8_t>();
  auto out = result.mutable_data<int8_t>();
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      out[static_cast<size_t>(c * rows + r)] = in[static_cast<size_t>(r * columns + c)];
  return result;
}

}  // namespace

bool valid_scales(std::span<const float> scales) {
  return std::all_of(scales.begin(), scales.end(),
                     [](float s) { return std::isnormal(s) && s > 0; });
}

std::optional<Quantization> tensor_quantization(const Graph& graph, const Node& node, DType implied,
                                                DType& dtype) {
  const Tensor* scale = optional_constant(graph, node, 1);
  const Tensor* zero = optional_constant(graph, node, 2);
  if (!scale || scale->dtype() != DType::kFloat32 || scale->shape().elements() != 1)
    return std::nullopt;
  if (!valid_scales(scale->data<float>())) return std::nullopt;
  if (has_input(node, 2) && (!zero || zero->shape().elements() != 1)) return std::nullopt;
  if (node.attributes.integer("block_size", 0) != 0 || node.attributes.has("output_dtype"))
    return std::nullopt;
  const int64_t precision = node.attributes.integer("precision", 0);
  if (precision != 0 && precision != onnx_number_of(DType::kFloat32)) return std::nullopt;
  dtype = zero ? zero->dtype() : implied;
  if (dtype != DType::kUInt8 && dtype != DType::kInt8) return std::nullopt;
  const int32_t shift = dtype == DType::kInt8 ? 128 : 0;
  return Quantization{scale->data<float>()[0], (zero ? code_at(*zero, 0) : 0) + shift};
}

std::optional<Tensor> to_codes(const Tensor& tensor) {
  if (tensor.dtype() == DType::kUInt8) return tensor;
  if (tensor.dtype() != DType::kInt8) return std::nullopt;
  Tensor codes(DType::kUInt8, tensor.shape());
  std::transform(tensor.data<int8_t>().begin(), tensor.data<int8_t>().end(),
                 codes.mutable_data<uint8_t>().begin(),
                 [](int8_t code) { return static_cast<uint8_t>(code + 128); });
  return codes;
}

std::optional<CodeBounds> code_bounds(const Graph& graph, const Node& clip, DType dtype) {
  if (clip.opset < 12) return std::nullopt;  // of floats only
  CodeBounds bounds{0, 255};
  const auto read = [&](size_t i, uint8_t& bound) {
    if (!has_input(clip, i)) return true;
    const Tensor* given = graph.constant(clip.inputs[i]);
    if (!given || given->dtype() != dtype || given->shape().elements() != 1) return false;
    bound = to_codes(*given)->data<uint8_t>()[0];
    return true;
  };
  if (!read(1, bounds.low) || !read(2, bounds.high) || bounds.low > bounds.high)
    return std::nullopt;
  return bounds;
}

namespace {

template <typename From>
Tensor widened_from(const Tensor& tensor) {
  Tensor wide(DType::kInt8, tensor.shape());
  std::ranges::transform(tensor.data<From>(), wide.mutable_data<int8_t>().begin(),
                         [](From code) { return static_cast<int8_t>(code.number()); });
  return wide;
}

// Codes of 4 bits as int8; others as they are.
Tensor bytes_of_codes(const Tensor& tensor) {
  if (tensor.dtype() == DType::kInt4) return widened_from<Int4>(tensor);
  if (tensor.dtype() == DType::kUInt4) return widened_from<UInt4>(tensor);
  return tensor;
}

}  // namespace

std::optional<ConstantCodes> constant_codes(const Graph& graph, const Uses& uses, ValueId id) {
  const Node* node = dequantize_of_constant(graph, uses, id);
  if (!node) return std::nullopt;
  const Tensor& given = *graph.constant(node->inputs[0]);
  const Tensor* scale = optional_constant(graph, *node, 1);
  const Tensor* zero = optional_constant(graph, *node, 2);
  if (!scale || scale->dtype() != DType::kFloat32 || !valid_scales(scale->data<float>()))
    return std::nullopt;
  if (has_input(*node, 2) && !zero) return std::nullopt;
  if (zero && (zero->dtype() != given.dtype() || zero->shape() != scale->shape()))
    return std::nullopt;
  if (node->attributes.integer("block_size", 0) != 0) return std::nullopt;
  ConstantCodes result{.codes = bytes_of_codes(given),
                       .scale = {scale->data<float>().begin(), scale->data<float>().end()},
                       .zero = std::vector<int64_t>(scale->data<float>().size()),
                       .axis = node->attributes.integer("axis", 1)};
  if (result.codes.dtype() != DType::kInt8 && result.codes.dtype() != DType::kUInt8)
    return std::nullopt;
  const int64_t rank = given.shape().rank();
  if (result.axis < 0) result.axis += rank;
  if (result.scale.size() != 1 &&
      (result.axis < 0 || result.axis >= rank ||
       given.shape()[result.axis] != static_cast<int64_t>(result.scale.size())))
    return std::nullopt;
  if (zero) {
    const Tensor zeros = bytes_of_codes(*zero);
    for (size_t i = 0; i < result.zero.size(); ++i) result.zero[i] = code_at(zeros, i);
  }
  return result;
}

std::optional<IntegerWeights> integer_form(const ConstantCodes& c, int64_t channel_axis) {
  const Shape& shape = c.codes.shape();
  if (shape.rank() <= channel_axis || shape[channel_axis] == 0 || c.scale.empty())
    return std::nullopt;
  if (c.scale.size() != 1 && c.axis != channel_axis) return std::nullopt;
  const int64_t channels = shape[channel_axis];
  std::optional<Tensor> codes = centre(c, channels, shape.elements(channel_axis + 1, shape.rank()));
  std::vector<int64_t> zeros;
  if (!codes) {
    codes = lower_to_int8(c.codes);
    zeros = lowered_zero_points(c, channels);
  }
  if (channel_axis == 1) {
    if (shape.rank() != 2) return std::nullopt;
    codes = transpose(*codes);
  }
  return IntegerWeights{std::move(*codes), c.scale, std::move(zeros)};
}

std::optional<IntegerWeights> integer_weights(const Graph& graph, const Uses& uses, ValueId id,
                                              int64_t channel_axis) {
  const std::optional<ConstantCodes> codes = constant_codes(graph, uses, id);
  return codes ? integer_form(*codes, channel_axis) : std::nullopt;
}

namespace {

// Whether a DequantizeLinear counts in x_scale * weight_scale from 0, so that its codes add to the
// sums as they are.
bool counts_in_sums(const Graph& graph, const Node& node, const Tensor& codes, const BiasUse& use) {
  const Tensor* scale = optional_constant(graph, node, 1);
  const Tensor* zero = optional_constant(graph, node, 2);
  if (codes.dtype() != DType::kInt32 || scale->dtype() != DType::kFloat32) return false;
  const auto scales = scale->data<float>();
  const auto channels = static_cast<size_t>(use.channels);
  if (scales.size() != 1 && scales.size() != channels) return false;
  if (zero) {
    if (zero->dtype() != DType::kInt32) return false;
    const auto zeros = zero->data<int32_t>();
    if (std::any_of(zeros.begin(), zeros.end(), [](int32_t z) { return z != 0; })) return false;
  }
  for (size_t c = 0; c < channels; ++c) {
    const double weight_scale = use.weight_scale[use.weight_scale.size() == 1 ? 0 : c];
    const double product = static_cast<double>(use.x_scale) * weight_scale;
    if (std::abs(scales[scales.size() == 1 ? 0 : c] - product) > kScaleTolerance * product)
      return false;
  }
  return true;
}

// A real bias, one number per channel.
std::optional<IntegerBias> real_bias(const Tensor& bias, int64_t channels, float factor) {
  if (bias.dtype() != DType::kFloat32) return std::nullopt;
  Tensor real(DType::kFloat32, Shape{channels});
  const auto from = bias.data<float>();
  for (size_t c = 0; c < static_cast<size_t>(channels); ++c)
    real.mutable_data<float>()[c] = factor * from[from.size() == 1 ? 0 : c];
  return IntegerBias{std::move(real)};
}

}  // namespace

std::optional<IntegerBias> integer_bias(const Graph& graph, const Uses& uses, ValueId id,
                                        const BiasUse& use) {
  if (id == kNoValue || use.factor == 0.0f) return IntegerBias{};
  const int64_t channels = use.channels;
  const auto fits = [&](const Shape& shape) {
    return is_bias(shape, channels) ||
           (use.broadcasts && shape.elements() == 1 && shape.rank() <= 2);
  };
  if (const Tensor* tensor = graph.constant(id))
    return fits(tensor->shape()) ? real_bias(*tensor, channels, use.factor) : std::nullopt;
  const Node* node = dequantize_of_constant(graph, uses, id);
  if (!node || !optional_constant(graph, *node, 1)) return std::nullopt;
  if (has_input(*node, 2) && !optional_constant(graph, *node, 2)) return std::nullopt;
  const Tensor& codes = *graph.constant(node->inputs[0]);
  if (!fits(codes.shape())) return std::nullopt;
  if (use.factor == 1.0f && codes.shape().elements() == channels &&
      counts_in_sums(graph, *node, codes, use))
    return IntegerBias{codes.reshaped(Shape{channels})};
  std::vector<const Tensor*> inputs;
  for (ValueId input : node->inputs) inputs.push_back(graph.constant(input));
  return real_bias(evaluate(graph, *node, inputs)[0], channels, use.factor);
}

}  // namespace sanderling
