// What the parts of the QDQ lowering share: a graph, and which of its values stand for codes. New
// nodes are added beside the originals.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/passes/passes.h"
#include "graph/passes/qdq.h"

namespace sanderling {

// What a QuantizeLinear of the model gives: uint8 codes with Value::quantization, and the type of
// the model's own codes.
struct QuantizedValue {
  ValueId codes = kNoValue;
  DType dtype = DType::kUInt8;
};

class CodedGraph {
 public:
  explicit CodedGraph(Graph& graph);

  Graph& graph() { return graph_; }
  const Uses& uses() const { return uses_; }
  const Node* producer(ValueId id) const;  // among the originals; nullptr where there is none
  void sort_and_prune();                   // makes originals of all nodes

  // The codes of a float value; kNoValue where it has none.
  ValueId codes_of(ValueId id) const;
  void set_codes(ValueId id, ValueId codes) { codes_[static_cast<size_t>(id)] = codes; }
  // What stands for a tensor of the model's own codes.
  QuantizedValue quantized_of(ValueId id) const;
  void set_quantized(ValueId id, QuantizedValue value) {
    quantized_[static_cast<size_t>(id)] = value;
  }

  ValueId add_codes(const std::string& name, Quantization quantization, int rank);
  ValueId add_constant_codes(ValueId original, Tensor tensor, const Quantization& quantization);
  // With the name and opset of `like`; the reference holds until the next node is added.
  Node& add_node(std::string op, const Node& like, std::vector<ValueId> inputs, ValueId output);
  // The node that was added here to make `id`; nullptr where there is none.
  Node* maker(ValueId id);

 private:
  Graph& graph_;
  Uses uses_;
  // By value; values added here have no entry.
  std::vector<ValueId> codes_;
  std::vector<QuantizedValue> quantized_;
  std::map<ValueId, size_t> makers_;  // nodes that were added
};

bool is_one_of(const std::string& op, std::initializer_list<const char*> names);
// QuantizeLinear of one number; NaN gives 0, as the kernel does.
uint8_t quantize(float x, const Quantization& quantization);

// Where the node moves elements of a tensor of codes, notes the codes of its outputs.
void move_codes(CodedGraph& g, const Node& node);
// Any chain of elementwise operators from one tensor of codes to `x` becomes one 256-entry table.
bool lower_table(CodedGraph& g, const Node& like, ValueId x, ValueId codes);
// `codes` in another quantization, by a table.
ValueId requantized(CodedGraph& g, const Node& like, ValueId codes, const Quantization& to);
// `codes` within bounds. Where nothing else reads them (`only`) the operator that makes them
// keeps to the bounds by itself, if it can.
ValueId clamped(CodedGraph& g, const Node& like, ValueId codes, CodeBounds bounds, bool only);
// What stands between a float value and the QuantizeLinear that is looked back from.
struct PendingQuantize {
  ActivationRange range{};
  int depth = 0;  // movements
};
// Looks back from the float value `x` over Relu, Clip and movements to an operator with an integer
// form that yields `codes`.
bool lower_operator(CodedGraph& g, ValueId x, ValueId codes, PendingQuantize pending = {});
// `node` on codes, where the operator before it has an integer form: rounding keeps order, so that
// moving elements or choosing among them does not care whether it comes before or after.
bool lower_moved(CodedGraph& g, const Node& node, ValueId codes, PendingQuantize pending);
// A QConv or QGemm. Attributes of its own, such as strides, are the caller's to set.
Node& add_weighted(CodedGraph& g, const char* op, const Node& like, ValueId x,
                   IntegerWeights weights, IntegerBias bias, ValueId output, ActivationRange range);
// Whether its sums could leave int32: such a layer stays in float.
bool is_too_deep(const IntegerWeights& weights);
// ConvTranspose as a QConv that computes all phases of its stride as channels, and DepthToSpace.
bool lower_transposed_convolution(CodedGraph& g, const Node& node, ValueId output,
                                  ActivationRange range);
// The node's integer form, with `output` codes or real; false where it has none.
bool lower_node(CodedGraph& g, const Node& node, ValueId output, ActivationRange range);

}  // namespace sanderling
