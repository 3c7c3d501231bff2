// Elementwise operators between codes: 256 codes go in, so that a table says it all.
#include <algorithm>
#include <limits>

#include "graph/evaluate.h"
#include "graph/passes/coded_graph.h"

namespace sanderling {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kMaxTableChain = 16;  // unary operators merged into one table

// The operators between one tensor of codes and `id`, in order of evaluation.
bool collect_chain(CodedGraph& g, ValueId id, std::vector<const Node*>& chain, ValueId& source) {
  if (const ValueId codes = g.codes_of(id); codes != kNoValue && !g.graph().constant(codes)) {
    if (source != kNoValue && source != codes) return false;
    source = codes;
    return true;
  }
  const Node* node = g.producer(id);
  if (!node || node->outputs.size() != 1 || chain.size() >= kMaxTableChain) return false;
  if (std::find(chain.begin(), chain.end(), node) != chain.end()) return true;
  if (!find_operator(node->op)->elementwise) return false;
  const int rank = g.graph().value(id).rank;
  for (ValueId input : node->inputs) {
    if (input == kNoValue) continue;
    if (const Tensor* constant = g.graph().constant(input)) {
      // A scalar of higher rank than the tensor would change the output's shape.
      if (constant->shape().elements() != 1 ||
          (constant->shape().rank() > 0 && constant->shape().rank() > rank))
        return false;
      continue;
    }
    if (g.graph().value(input).rank != rank || !collect_chain(g, input, chain, source))
      return false;
  }
  chain.push_back(node);
  return chain.size() <= kMaxTableChain;
}

}  // namespace

bool lower_table(CodedGraph& g, const Node& like, ValueId x, ValueId codes) {
  std::vector<const Node*> chain;  // in order of evaluation
  ValueId source = kNoValue;
  if (!collect_chain(g, x, chain, source) || source == kNoValue) return false;
  const Quantization from = *g.graph().value(source).quantization;
  Tensor reals(DType::kFloat32, Shape{256});
  for (int code = 0; code < 256; ++code)
    reals.mutable_data<float>()[static_cast<size_t>(code)] =
        static_cast<float>(code - from.zero_point) * from.scale;
  std::map<ValueId, Tensor> results;
  const auto tensor_of = [&](ValueId id) -> const Tensor* {
    if (id == kNoValue) return nullptr;
    if (const Tensor* constant = g.graph().constant(id)) return constant;
    if (const auto it = results.find(id); it != results.end()) return &it->second;
    return &reals;
  };
  for (const Node* node : chain) {
    std::vector<const Tensor*> inputs;
    for (ValueId id : node->inputs) inputs.push_back(tensor_of(id));
    results[node->outputs[0]] = evaluate(g.graph(), *node, inputs)[0];
  }
  const Tensor& result = *tensor_of(x);
  if (result.dtype() != DType::kFloat32 || result.shape().elements() != 256) return false;
  Tensor table(DType::kUInt8, Shape{256});
  const Quantization to = *g.graph().value(codes).quantization;
  for (size_t i = 0; i < 256; ++i)
    table.mutable_data<uint8_t>()[i] = quantize(result.data<float>()[i], to);
  const ValueId table_id = g.graph().add_constant(like.name + "/table", std::move(table));
  g.graph().value(codes).rank = g.graph().value(source).rank;
  g.add_node("QLookup", like, {source, table_id}, codes);
  return true;
}

namespace {

template <typename Map>
ValueId looked_up(CodedGraph& g, const Node& like, ValueId codes, const Quantization& to,
                  const Map& map) {
  Tensor table(DType::kUInt8, Shape{256});
  for (int code = 0; code < 256; ++code)
    table.mutable_data<uint8_t>()[static_cast<size_t>(code)] = map(code);
  const ValueId table_id = g.graph().add_constant(like.name + "/table", std::move(table));
  const Value& from = g.graph().value(codes);
  const ValueId output = g.add_codes(from.name + "/table", to, from.rank);
  g.add_node("QLookup", like, {codes, table_id}, output);
  return output;
}

}  // namespace

ValueId requantized(CodedGraph& g, const Node& like, ValueId codes, const Quantization& to) {
  const Quantization from = *g.graph().value(codes).quantization;
  if (from == to) return codes;
  return looked_up(g, like, codes, to, [&](int code) {
    return quantize(static_cast<float>(code - from.zero_point) * from.scale, to);
  });
}

ValueId clamped(CodedGraph& g, const Node& like, ValueId codes, CodeBounds bounds, bool only) {
  const Quantization q = *g.graph().value(codes).quantization;
  Node* maker = only ? g.maker(codes) : nullptr;
  if (maker && is_one_of(maker->op, {"QConv", "QGemm", "QMatMul", "QAdd", "QMul"})) {
    const auto narrow = [&](const char* name, float otherwise, uint8_t bound) {
      const float real = static_cast<float>(bound - q.zero_point) * q.scale;
      const float given = maker->attributes.number(name, otherwise);
      maker->attributes.set(name, otherwise < 0 ? std::max(given, real) : std::min(given, real));
    };
    // A bound that every code keeps says nothing about real numbers.
    if (bounds.low > 0) narrow("low", -kInfinity, bounds.low);
    if (bounds.high < 255) narrow("high", kInfinity, bounds.high);
    return codes;
  }
  return looked_up(g, like, codes, q, [&](int code) {
    return std::clamp(static_cast<uint8_t>(code), bounds.low, bounds.high);
  });
}

}  // namespace sanderling
