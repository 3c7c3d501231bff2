// Operators that have an integer form of their own.
#include <algorithm>
#include <limits>
#include <numeric>

#include "graph/passes/coded_graph.h"
#include "graph/passes/qdq.h"

namespace sanderling {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Of tensors with up to three spatial axes, which is what ops/window.h PixelGrid has.
constexpr int64_t kMostSpatialRank = 5;

void set_range(Node& node, ActivationRange range) {
  if (range.low != -kInfinity) node.attributes.set("low", range.low);
  if (range.high != kInfinity) node.attributes.set("high", range.high);
}

bool lower_conv(CodedGraph& g, const Node& node, ValueId output, ActivationRange range) {
  const ValueId x = g.codes_of(node.inputs[0]);
  if (x == kNoValue || g.graph().constant(x)) return false;
  auto weights = integer_weights(g.graph(), g.uses(), node.inputs[1], 0);
  if (!weights) return false;
  const int64_t rank = weights->codes.shape().rank();
  if (rank < 3 || rank > kMostSpatialRank) return false;
  if (is_too_deep(*weights)) return false;
  auto bias = integer_bias(g.graph(), g.uses(), node.inputs.size() > 2 ? node.inputs[2] : kNoValue,
                           {.channels = weights->codes.shape()[0],
                            .x_scale = g.graph().value(x).quantization->scale,
                            .weight_scale = weights->scale});
  if (!bias) return false;
  Node& added =
      add_weighted(g, "QConv", node, x, std::move(*weights), std::move(*bias), output, range);
  for (const auto& [name, value] : node.attributes.all()) added.attributes.set(name, value);
  return true;
}

// A matrix of codes the other way round.
ValueId transposed(CodedGraph& g, const Node& like, ValueId codes) {
  const Value& from = g.graph().value(codes);
  const ValueId output = g.add_codes(from.name + "/transposed", *from.quantization, from.rank);
  Node& added = g.add_node("Transpose", like, {codes}, output);
  added.attributes.set("perm", std::vector<int64_t>{1, 0});
  added.opset = 13;
  return output;
}

// alpha * x * weights + beta * bias
bool lower_gemm(CodedGraph& g, const Node& node, ValueId bias_id, ValueId output,
                ActivationRange range) {
  ValueId x = g.codes_of(node.inputs[0]);
  if (x == kNoValue || g.graph().constant(x)) return false;
  const bool gemm = node.op == "Gemm";
  const float alpha = gemm ? node.attributes.number("alpha", 1.0f) : 1.0f;
  const float beta = gemm ? node.attributes.number("beta", 1.0f) : 1.0f;
  const int64_t channel_axis = gemm && node.attributes.integer("transB", 0) != 0 ? 0 : 1;
  if (!gemm && g.graph().value(node.inputs[0]).rank < 2) return false;
  auto weights = integer_weights(g.graph(), g.uses(), node.inputs[1], channel_axis);
  if (!weights || weights->codes.shape().rank() != 2 || is_too_deep(*weights)) return false;
  for (float& scale : weights->scale) scale *= alpha;
  if (!valid_scales(weights->scale)) return false;
  auto bias = integer_bias(g.graph(), g.uses(), bias_id,
                           {.channels = weights->codes.shape()[0],
                            .x_scale = g.graph().value(x).quantization->scale,
                            .weight_scale = weights->scale,
                            .factor = beta,
                            .broadcasts = true});
  if (!bias) return false;
  if (gemm && node.attributes.integer("transA", 0) != 0) x = transposed(g, node, x);
  add_weighted(g, "QGemm", node, x, std::move(*weights), std::move(*bias), output, range);
  return true;
}

// MatMul and an Add of a constant vector: a linear layer on tensors of rank 3 and more, as
// exporters write it.
bool lower_biased_product(CodedGraph& g, const Node& add, ValueId output, ActivationRange range) {
  const int rank = g.graph().value(add.outputs[0]).rank;
  for (size_t side = 0; side < 2; ++side) {
    const Node* product = g.producer(add.inputs[side]);
    if (product && product->op == "MatMul" && g.uses().read_once(add.inputs[side]) && rank >= 0 &&
        g.graph().value(add.inputs[side]).rank == rank &&
        lower_gemm(g, Node(*product), add.inputs[1 - side], output, range))
      return true;
  }
  return false;
}

// Where the right side is no constant matrix: the product of two tensors of codes.
bool lower_product(CodedGraph& g, const Node& node, ValueId output, ActivationRange range) {
  const ValueId a = g.codes_of(node.inputs[0]), b = g.codes_of(node.inputs[1]);
  if (a == kNoValue || b == kNoValue) return false;
  set_range(g.add_node("QMatMul", node, {a, b}, output), range);
  return true;
}

bool lower_binary(CodedGraph& g, const Node& node, ValueId output, ActivationRange range) {
  const ValueId a = g.codes_of(node.inputs[0]), b = g.codes_of(node.inputs[1]);
  if (a == kNoValue || b == kNoValue) return false;
  Node& added = g.add_node(node.op == "Mul" ? "QMul" : "QAdd", node, {a, b}, output);
  if (node.op == "Sub") added.attributes.set("subtract", int64_t{1});
  set_range(added, range);
  return true;
}

bool lower_average(CodedGraph& g, const Node& node, ValueId output) {
  const ValueId x = g.codes_of(node.inputs[0]);
  const int rank = x == kNoValue ? -1 : g.graph().value(x).rank;
  if (rank < 3 || rank > kMostSpatialRank) return false;
  Node& added = g.add_node("QAveragePool", node, {x}, output);
  added.attributes = node.attributes;
  if (node.op == "GlobalAveragePool") added.attributes.set("global", int64_t{1});
  return true;
}

bool reduces_pixels(CodedGraph& g, const Node& node, int rank) {
  std::vector<int64_t> axes = node.attributes.integers("axes", {});
  if (node.inputs.size() > 1) {
    const Tensor* given = g.graph().constant(node.inputs[1]);
    if (!given || given->dtype() != DType::kInt64) return false;
    axes.assign(given->data<int64_t>().begin(), given->data<int64_t>().end());
  }
  for (int64_t& axis : axes) axis = axis < 0 ? axis + rank : axis;
  std::sort(axes.begin(), axes.end());
  std::vector<int64_t> spatial(static_cast<size_t>(rank - 2));
  std::iota(spatial.begin(), spatial.end(), int64_t{2});
  return axes == spatial;
}

// A mean over all spatial axes is a global pool; without keepdims, less its axes of extent 1.
bool lower_mean(CodedGraph& g, const Node& node, ValueId output) {
  const ValueId x = g.codes_of(node.inputs[0]);
  const int rank = x == kNoValue ? -1 : g.graph().value(x).rank;
  if (rank < 3 || rank > kMostSpatialRank || !reduces_pixels(g, node, rank)) return false;
  const bool keep = node.attributes.integer("keepdims", 1) != 0;
  const Quantization to = *g.graph().value(output).quantization;
  const ValueId pooled = keep ? output : g.add_codes(node.name + "/pooled", to, rank);
  g.add_node("QAveragePool", node, {x}, pooled).attributes.set("global", int64_t{1});
  if (!keep) g.add_node("Flatten", node, {pooled}, output).opset = 13;
  return true;
}

}  // namespace

Node& add_weighted(CodedGraph& g, const char* op, const Node& like, ValueId x,
                   IntegerWeights weights, IntegerBias bias, ValueId output,
                   ActivationRange range) {
  std::vector<ValueId> inputs{
      x, g.graph().add_constant(like.name + "/weight", std::move(weights.codes))};
  if (bias.tensor)
    inputs.push_back(g.graph().add_constant(like.name + "/bias", std::move(*bias.tensor)));
  Node& added = g.add_node(op, like, std::move(inputs), output);
  added.attributes.set("weight_scale", std::move(weights.scale));
  if (!weights.zero.empty()) added.attributes.set("weight_zero", std::move(weights.zero));
  set_range(added, range);
  return added;
}

bool is_too_deep(const IntegerWeights& weights) {
  // kernels/params.h kMaxDepthU8S8, and ops/packed_codes.h kMaxCentredDepth.
  constexpr int64_t kMaxIntegerDepth = 65536, kMaxCentredDepth = 32768;
  const Shape& shape = weights.codes.shape();
  return shape.elements(1, shape.rank()) >
         (weights.zero.empty() ? kMaxIntegerDepth : kMaxCentredDepth);
}

bool lower_node(CodedGraph& g, const Node& node, ValueId output, ActivationRange range) {
  if (node.op == "ConvTranspose") return lower_transposed_convolution(g, Node(node), output, range);
  if (node.op == "Conv") return lower_conv(g, Node(node), output, range);
  if (node.op == "Gemm")
    return lower_gemm(g, Node(node), node.inputs.size() > 2 ? node.inputs[2] : kNoValue, output,
                      range);
  if (node.op == "MatMul")
    return lower_gemm(g, Node(node), kNoValue, output, range) ||
           lower_product(g, Node(node), output, range);
  if (node.op == "Add" && lower_biased_product(g, Node(node), output, range)) return true;
  if (!g.graph().value(output).quantization) return false;
  if (node.op == "Add" || node.op == "Sub" || node.op == "Mul")
    return lower_binary(g, Node(node), output, range);
  if (!range.is_all()) return false;
  if (node.op == "AveragePool" || node.op == "GlobalAveragePool")
    return lower_average(g, Node(node), output);
  if (node.op == "ReduceMean") return lower_mean(g, Node(node), output);
  return false;
}

bool lower_operator(CodedGraph& g, ValueId x, ValueId codes, PendingQuantize pending) {
  ActivationRange& range = pending.range;
  const Node* node = g.producer(x);
  ValueId output = x;
  while (node) {
    const auto clamp = clamp_range(g.graph(), *node);
    if (!clamp) break;
    if (!g.uses().read_once(output)) return false;
    // The clamps found so far run after this one.
    range = {std::clamp(clamp->low, range.low, range.high),
             std::clamp(clamp->high, range.low, range.high)};
    output = node->inputs[0];
    node = g.producer(output);
  }
  if (!node || !g.uses().read_once(output)) return false;
  return lower_node(g, *node, codes, range) || lower_moved(g, Node(*node), codes, pending);
}

}  // namespace sanderling
