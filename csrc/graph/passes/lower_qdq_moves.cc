// Operators that move codes, or choose among them, as they are.
#include <algorithm>

#include "graph/passes/coded_graph.h"
#include "graph/passes/qdq.h"

namespace sanderling {
namespace {

// Reshapes and the like between an operator and the QuantizeLinear after it; a hostile chain must
// not exhaust the call stack.
constexpr int kMostMovesBack = 16;

// Operators that only move elements, or choose among them: they work on codes as they are.
bool moves_elements(const Node& node) {
  if (is_one_of(node.op,
                {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "MaxPool",
                 "GlobalMaxPool", "Concat", "Pad", "Slice", "Gather", "GatherElements", "GatherND",
                 "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "Identity"}))
    return node.outputs.size() == 1;
  if (node.op == "Resize" || node.op == "Upsample")
    return node.attributes.text("mode", "nearest") == "nearest" &&
           node.attributes.text("coordinate_transformation_mode", "") != "tf_crop_and_resize";
  if (node.op == "ReduceMax" || node.op == "ReduceMin") return node.opset >= 12;  // uint8 since
  return node.op == "Split";
}

// `node` once more on codes; its new outputs.
std::vector<ValueId> add_moved(CodedGraph& g, const Node& node, std::vector<ValueId> inputs,
                               const std::optional<Quantization>& quantization) {
  std::vector<ValueId> outputs;
  for (ValueId id : node.outputs) {
    outputs.push_back(id == kNoValue ? id
                                     : g.graph().add_value(g.graph().value(id).name + "/codes"));
    if (id == kNoValue) continue;
    g.graph().value(outputs.back()).quantization = quantization;
    g.graph().value(outputs.back()).rank = g.graph().value(id).rank;
  }
  Node& added = g.add_node(node.op, node, std::move(inputs), kNoValue);
  added.attributes = node.attributes;
  added.outputs = outputs;
  return outputs;
}

// Pad's constant among the model's own codes.
bool pad_quantized(CodedGraph& g, const Node& node, DType dtype, std::vector<ValueId>& inputs) {
  if (node.attributes.text("mode", "constant") != "constant") return true;
  if (node.opset < 11) return false;
  Tensor code = Tensor::scalar<uint8_t>(dtype == DType::kInt8 ? 128 : 0);
  if (inputs.size() > 2 && inputs[2] != kNoValue) {
    const Tensor* given = g.graph().constant(inputs[2]);
    if (!given || given->dtype() != dtype || given->shape().elements() != 1) return false;
    code = to_codes(*given)->reshaped(Shape{});
  }
  inputs.resize(std::max<size_t>(inputs.size(), 3), kNoValue);
  inputs[2] = g.graph().add_constant(node.name + "/pad", std::move(code));
  return true;
}

// Pad's constant as a code; only if a code stands for it exactly.
bool pad_codes(CodedGraph& g, const Node& node, const Quantization& quantization,
               std::vector<ValueId>& inputs) {
  if (node.attributes.text("mode", "constant") != "constant") return true;
  float value = 0.0f;
  if (node.opset < 11) return false;  // the attribute form cannot say a uint8 value
  if (inputs.size() > 2 && inputs[2] != kNoValue) {
    const Tensor* constant = g.graph().constant(inputs[2]);
    if (!constant || constant->dtype() != DType::kFloat32 || constant->shape().elements() != 1)
      return false;
    value = constant->data<float>()[0];
  }
  const uint8_t code = quantize(value, quantization);
  if (static_cast<float>(code - quantization.zero_point) * quantization.scale != value)
    return false;
  inputs.resize(std::max<size_t>(inputs.size(), 3), kNoValue);
  inputs[2] = g.graph().add_constant(node.name + "/pad", Tensor::scalar<uint8_t>(code));
  return true;
}

// What lies between a DequantizeLinear and a QuantizeLinear.
void move_real(CodedGraph& g, const Node& node) {
  const ValueId first = g.codes_of(node.inputs[0]);
  const Quantization quantization = *g.graph().value(first).quantization;
  std::vector<ValueId> inputs = node.inputs;
  inputs[0] = first;
  if (node.op == "Concat") {
    for (size_t i = 1; i < inputs.size(); ++i) {
      inputs[i] = g.codes_of(node.inputs[i]);
      if (inputs[i] == kNoValue || g.graph().value(inputs[i]).quantization != quantization) return;
    }
  }
  if (node.op == "Pad" && !pad_codes(g, node, quantization, inputs)) return;
  const std::vector<ValueId> outputs = add_moved(g, node, std::move(inputs), quantization);
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i] != kNoValue) g.set_codes(node.outputs[i], outputs[i]);
}

// What moves the model's own codes.
void move_quantized(CodedGraph& g, const Node& node) {
  const QuantizedValue first = g.quantized_of(node.inputs[0]);
  const std::optional<Quantization> quantization = g.graph().value(first.codes).quantization;
  std::vector<ValueId> inputs = node.inputs;
  inputs[0] = first.codes;
  if (node.op == "Concat") {
    for (size_t i = 1; i < inputs.size(); ++i) {
      const QuantizedValue other = g.quantized_of(node.inputs[i]);
      if (other.codes == kNoValue || other.dtype != first.dtype || !quantization ||
          g.graph().value(other.codes).quantization != quantization)
        return;
      inputs[i] = other.codes;
    }
  }
  if (node.op == "Pad" && !pad_quantized(g, node, first.dtype, inputs)) return;
  const std::vector<ValueId> outputs = add_moved(g, node, std::move(inputs), quantization);
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i] != kNoValue) g.set_quantized(node.outputs[i], {outputs[i], first.dtype});
}

}  // namespace

void move_codes(CodedGraph& g, const Node& node) {
  if (!moves_elements(node) || node.inputs.empty()) return;
  if (g.codes_of(node.inputs[0]) != kNoValue)
    move_real(g, node);
  else if (g.quantized_of(node.inputs[0]).codes != kNoValue)
    move_quantized(g, node);
}

namespace {

// The codes of `x` in the quantization `to`: those that it has, those of the operator that makes
// it, or what Quantize makes of it. `integer` becomes true but for the last.
ValueId quantized_input(CodedGraph& g, const Node& like, ValueId x, const Quantization& to,
                        PendingQuantize pending, bool& integer) {
  if (const ValueId codes = g.codes_of(x); codes != kNoValue) {
    integer = true;
    return requantized(g, like, codes, to);
  }
  const Value& real = g.graph().value(x);
  const ValueId codes = g.add_codes(real.name + "/codes", to, real.rank);
  if (lower_table(g, like, x, codes) || lower_operator(g, x, codes, pending))
    integer = true;
  else
    g.add_node("Quantize", like, {x}, codes);
  return codes;
}

}  // namespace

bool lower_moved(CodedGraph& g, const Node& node, ValueId codes, PendingQuantize pending) {
  if (!moves_elements(node) || node.outputs.size() != 1 || pending.depth > kMostMovesBack)
    return false;
  const Quantization to = *g.graph().value(codes).quantization;
  std::vector<ValueId> inputs = node.inputs;
  if (node.op == "Pad" && (!pending.range.is_all() || !pad_codes(g, node, to, inputs)))
    return false;
  ++pending.depth;
  const bool concat = node.op == "Concat";
  if (concat && !pending.range.is_all()) return false;  // codes that are there are not clamped
  bool integer = false;
  for (size_t i = 0; i < (concat ? inputs.size() : 1); ++i)
    inputs[i] = quantized_input(g, node, node.inputs[i], to, pending, integer);
  if (!integer) return false;
  g.add_node(node.op, node, std::move(inputs), codes).attributes = node.attributes;
  return true;
}

}  // namespace sanderling
