// Rewrites QDQ patterns into integer operators.
//
// One walk in topological order. Every float value that stands for codes (a DequantizeLinear's
// output, or a movement of one) is noted with its codes; at each QuantizeLinear the walk looks back
// from its input for an operator whose inputs all have codes, and adds the integer operator beside
// the original. Originals that nothing reads any more are pruned at the end, so a pattern that is
// only half there costs nothing and stays right.
#include "graph/passes/coded_graph.h"
#include "graph/passes/qdq.h"

namespace sanderling {
namespace {

// The table between int8 codes and the same raised by 128, as bytes: the top bit flips.
ValueId flipped_bytes(Graph& graph, DType to) {
  Tensor table(to, Shape{256});
  auto* bytes = static_cast<uint8_t*>(table.mutable_raw());
  for (size_t i = 0; i < 256; ++i) bytes[i] = static_cast<uint8_t>(i ^ 0x80);
  return graph.add_constant("flipped", std::move(table));
}

class Lowering {
 public:
  explicit Lowering(Graph& graph) : graph_(graph), g_(graph) {}

  void run() {
    const size_t originals = graph_.nodes.size();
    note_inputs();
    for (size_t n = 0; n < originals; ++n) {
      const Node node = graph_.nodes[n];  // a copy: adding nodes moves the originals
      if (node.op == "DequantizeLinear")
        note_dequantize(node);
      else if (node.op == "QuantizeLinear")
        lower_quantize(node);
      else if (node.op == "Clip")
        clamp_codes(node);
      else
        move_codes(g_, node);
    }
    replace_dequantize(originals);
    replace_quantize(originals);
    g_.sort_and_prune();
    lower_float_outputs();
    g_.sort_and_prune();
  }

 private:
  void note_inputs() {
    const std::vector<GraphInput> inputs = graph_.inputs;
    for (const GraphInput& input : inputs) {
      if (input.dtype == DType::kUInt8) g_.set_quantized(input.value, {input.value, DType::kUInt8});
      if (input.dtype == DType::kInt8)
        g_.set_quantized(input.value, {raised(input.value), DType::kInt8});
    }
  }

  // int8 codes as uint8, raised by 128.
  ValueId raised(ValueId codes) {
    const ValueId id = graph_.add_value(graph_.value(codes).name + "/raised");
    graph_.value(id).rank = graph_.value(codes).rank;
    const Node like{.op = "",
                    .name = graph_.value(codes).name,
                    .inputs = {},
                    .outputs = {},
                    .attributes = {},
                    .opset = 13};
    g_.add_node("QLookup", like, {codes, flipped_bytes(graph_, DType::kUInt8)}, id);
    return id;
  }

  void note_dequantize(const Node& node) {
    const ValueId output = node.outputs[0];
    if (const Tensor* constant = graph_.constant(node.inputs[0])) {
      DType dtype;
      const auto quantization = tensor_quantization(graph_, node, constant->dtype(), dtype);
      if (!quantization || dtype != constant->dtype()) return;
      if (std::optional<Tensor> codes = to_codes(*constant))
        g_.set_codes(output, g_.add_constant_codes(output, std::move(*codes), *quantization));
      return;
    }
    const QuantizedValue known = g_.quantized_of(node.inputs[0]);
    if (known.codes == kNoValue) return;
    DType dtype;
    const auto quantization = tensor_quantization(graph_, node, known.dtype, dtype);
    if (!quantization || dtype != known.dtype) return;
    auto& attached = graph_.value(known.codes).quantization;
    if (!attached) attached = quantization;  // a uint8 graph input
    if (*attached == *quantization) g_.set_codes(output, known.codes);
  }

  void lower_quantize(const Node& node) {
    DType dtype;
    const auto quantization = tensor_quantization(graph_, node, DType::kUInt8, dtype);
    if (!quantization) return;
    const ValueId x = node.inputs[0];
    ValueId codes = g_.codes_of(x);
    if (codes == kNoValue || graph_.value(codes).quantization != *quantization) {
      codes = g_.add_codes(graph_.value(node.outputs[0]).name, *quantization, graph_.value(x).rank);
      if (!lower_table(g_, node, x, codes) && !lower_operator(g_, x, codes))
        g_.add_node("Quantize", node, {x}, codes);
    }
    g_.set_quantized(node.outputs[0], {codes, dtype});
  }

  // Clip between QuantizeLinear and DequantizeLinear: training for fewer codes than a byte has,
  // such as PyTorch's reduced range, writes it.
  void clamp_codes(const Node& node) {
    const QuantizedValue from = g_.quantized_of(node.inputs[0]);
    if (from.codes == kNoValue || !graph_.value(from.codes).quantization) return;
    const std::optional<CodeBounds> bounds = code_bounds(graph_, node, from.dtype);
    if (!bounds) return;
    const bool only = g_.uses().read_once(node.inputs[0]);
    g_.set_quantized(node.outputs[0], {clamped(g_, node, from.codes, *bounds, only), from.dtype});
  }

  // Every real value that stands for codes is made of them: each output of a Split, too.
  void replace_dequantize(size_t originals) {
    for (size_t n = 0; n < originals; ++n) {
      for (size_t i = 0; i < graph_.nodes[n].outputs.size(); ++i) {
        const ValueId real = graph_.nodes[n].outputs[i];
        const ValueId codes = g_.codes_of(real);
        if (codes == kNoValue || graph_.constant(codes)) continue;
        graph_.nodes[n].outputs[i] = retired();
        g_.add_node("Dequantize", graph_.nodes[n], {codes}, real);
      }
    }
  }

  // Codes that leave the model, or that an operator reads which knows nothing of their scale.
  void replace_quantize(size_t originals) {
    for (size_t n = 0; n < originals; ++n) {
      const Node& node = graph_.nodes[n];
      if (node.op != "QuantizeLinear" || node.outputs.empty()) continue;
      const QuantizedValue value = g_.quantized_of(node.outputs[0]);
      if (value.codes == kNoValue) continue;
      const std::string name = node.name;
      const std::vector<ValueId> outputs = node.outputs;
      Node replaced{.op = "Identity",
                    .name = name,
                    .inputs = {value.codes},
                    .outputs = outputs,
                    .attributes = {},
                    .opset = 13};
      if (value.dtype == DType::kInt8) {
        replaced.op = "QLookup";
        replaced.inputs.push_back(flipped_bytes(graph_, DType::kInt8));
      }
      graph_.nodes[n] = std::move(replaced);
    }
  }

  // Convolutions and products that no QuantizeLinear follows still run on codes and yield float32.
  void lower_float_outputs() {
    const size_t originals = graph_.nodes.size();
    const auto lower_all = [&](std::initializer_list<const char*> operators) {
      for (size_t n = 0; n < originals; ++n) {
        const Node node = graph_.nodes[n];
        if (is_one_of(node.op, operators) && lower_node(g_, node, node.outputs[0], {}))
          graph_.nodes[n].outputs[0] = retired();
      }
    };
    lower_all({"Add"});  // a product with its bias, before the product alone
    lower_all({"Conv", "ConvTranspose", "Gemm", "MatMul"});
  }

  // A value that nothing reads, so that the node which makes it is pruned.
  ValueId retired() { return graph_.add_value(""); }

  Graph& graph_;
  CodedGraph g_;
};

}  // namespace

void lower_qdq(Graph& graph) {
  expand_fused(graph);
  fuse_dynamic_products(graph);
  move_dequantize(graph);
  Lowering(graph).run();
}

}  // namespace sanderling
