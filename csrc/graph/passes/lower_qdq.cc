// Rewrites QDQ patterns into integer operators.
//
// One walk in topological order. Every float value that stands for codes (a DequantizeLinear's
// output, or a movement of one) is noted with its codes; at each QuantizeLinear the walk looks back
// from its input for an operator whose inputs all have codes, and adds the integer operator beside
// the original. Originals that nothing reads any more are pruned at the end, so a pattern that is
// only half there costs nothing and stays right.
#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/evaluate.h"
#include "graph/operator.h"
#include "graph/passes/passes.h"
#include "graph/passes/qdq.h"

namespace sanderling {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kMaxTableChain = 16;  // unary operators merged into one table
// kernels/params.h kMaxDepthU8S8, and ops/packed_codes.h kMaxCentredDepth for weights with zero
// points; deeper sums stay in float.
constexpr int64_t kMaxIntegerDepth = 65536, kMaxCentredDepth = 32768;

bool is_one_of(const std::string& op, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* name) { return op == name; });
}

// QuantizeLinear of one number; NaN gives 0, as the kernel does.
uint8_t quantize(float x, const Quantization& q) {
  const float code = std::nearbyint(x / q.scale) + static_cast<float>(q.zero_point);
  return code > 0.0f ? static_cast<uint8_t>(std::min(code, 255.0f)) : uint8_t{0};
}

class Lowering {
 public:
  explicit Lowering(Graph& graph)
      : graph_(graph),
        uses_(graph),
        codes_(graph.values.size(), kNoValue),
        quantized_(graph.values.size()) {}

  void run() {
    const size_t originals = graph_.nodes.size();
    const std::vector<GraphInput> inputs = graph_.inputs;
    for (const GraphInput& input : inputs) {
      if (input.dtype == DType::kUInt8)
        quantized_[index(input.value)] = {input.value, DType::kUInt8};
      if (input.dtype == DType::kInt8)
        quantized_[index(input.value)] = {raised(input.value), DType::kInt8};
    }
    for (size_t n = 0; n < originals; ++n) {
      const Node node = graph_.nodes[n];  // a copy: adding nodes moves the originals
      if (node.op == "DequantizeLinear")
        note_dequantize(node);
      else if (node.op == "QuantizeLinear")
        lower_quantize(node);
      else
        move_codes(node);
    }
    replace_dequantize(originals);
    replace_quantize(originals);
    sort_and_prune(graph_);
    uses_ = Uses(graph_);
    lower_float_outputs();
    sort_and_prune(graph_);
  }

 private:
  struct Codes {
    ValueId value = kNoValue;     // uint8 codes with Value::quantization
    DType dtype = DType::kUInt8;  // of the model's own codes
  };

  static size_t index(ValueId id) { return static_cast<size_t>(id); }
  // Vectors indexed by value cover the originals; values added here have no entry.
  ValueId codes_of(ValueId id) const {
    return id != kNoValue && index(id) < codes_.size() ? codes_[index(id)] : kNoValue;
  }
  Codes quantized_of(ValueId id) const {
    return id != kNoValue && index(id) < quantized_.size() ? quantized_[index(id)] : Codes{};
  }
  const Node* producer(ValueId id) const {
    const int n = id == kNoValue ? -1 : uses_.producer(id);
    return n < 0 ? nullptr : &graph_.nodes[static_cast<size_t>(n)];
  }

  ValueId add_codes(const std::string& name, const Quantization& quantization, int rank) {
    const ValueId id = graph_.add_value(name);
    graph_.value(id).quantization = quantization;
    graph_.value(id).rank = rank;
    return id;
  }
  ValueId add_constant_codes(ValueId original, Tensor tensor, const Quantization& quantization) {
    const int rank = static_cast<int>(tensor.shape().rank());
    const ValueId id =
        graph_.add_constant(graph_.value(original).name + "/codes", std::move(tensor));
    graph_.value(id).quantization = quantization;
    graph_.value(id).rank = rank;
    return id;
  }
  Node& add_node(std::string op, const Node& like, std::vector<ValueId> inputs, ValueId output) {
    Node node{.op = std::move(op),
              .name = like.name,
              .inputs = std::move(inputs),
              .outputs = {output},
              .attributes = {},
              .opset = like.opset};
    return graph_.nodes.emplace_back(std::move(node));
  }

  void note_dequantize(const Node& node) {
    const ValueId output = node.outputs[0];
    if (const Tensor* constant = graph_.constant(node.inputs[0])) {
      DType dtype;
      const auto quantization = tensor_quantization(graph_, node, constant->dtype(), dtype);
      if (!quantization || dtype != constant->dtype()) return;
      if (std::optional<Tensor> codes = to_codes(*constant))
        codes_[index(output)] = add_constant_codes(output, std::move(*codes), *quantization);
      return;
    }
    const Codes known = quantized_[index(node.inputs[0])];
    if (known.value == kNoValue) return;
    DType dtype;
    const auto quantization = tensor_quantization(graph_, node, known.dtype, dtype);
    if (!quantization || dtype != known.dtype) return;
    auto& attached = graph_.value(known.value).quantization;
    if (!attached) attached = quantization;  // a uint8 graph input
    if (*attached == *quantization) codes_[index(output)] = known.value;
  }

  // Operators that only move elements, or choose among them: they work on codes as they are.
  static bool moves_elements(const Node& node) {
    if (is_one_of(node.op,
                  {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "MaxPool",
                   "GlobalMaxPool", "Concat", "Pad", "Slice", "Gather", "GatherElements",
                   "GatherND", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "Identity"}))
      return node.outputs.size() == 1;
    if (node.op == "Resize" || node.op == "Upsample")
      return node.attributes.text("mode", "nearest") == "nearest" &&
             node.attributes.text("coordinate_transformation_mode", "") != "tf_crop_and_resize";
    if (node.op == "ReduceMax" || node.op == "ReduceMin") return node.opset >= 12;  // uint8 since
    return node.op == "Split";
  }

  void move_codes(const Node& node) {
    if (!moves_elements(node) || node.inputs.empty()) return;
    if (codes_of(node.inputs[0]) != kNoValue)
      move_real(node);
    else if (quantized_of(node.inputs[0]).value != kNoValue)
      move_quantized(node);
  }

  // What lies between a DequantizeLinear and a QuantizeLinear.
  void move_real(const Node& node) {
    const ValueId first = codes_of(node.inputs[0]);
    const Quantization quantization = *graph_.value(first).quantization;
    std::vector<ValueId> inputs = node.inputs;
    inputs[0] = first;
    if (node.op == "Concat") {
      for (size_t i = 1; i < inputs.size(); ++i) {
        inputs[i] = codes_of(node.inputs[i]);
        if (inputs[i] == kNoValue || graph_.value(inputs[i]).quantization != quantization) return;
      }
    }
    if (node.op == "Pad" && !pad_codes(node, quantization, inputs, node.attributes)) return;
    const std::vector<ValueId> outputs = add_moved(node, std::move(inputs), quantization);
    for (size_t i = 0; i < outputs.size(); ++i)
      if (outputs[i] != kNoValue) codes_[index(node.outputs[i])] = outputs[i];
  }

  // What moves the model's own codes.
  void move_quantized(const Node& node) {
    const Codes first = quantized_of(node.inputs[0]);
    const std::optional<Quantization> quantization = graph_.value(first.value).quantization;
    std::vector<ValueId> inputs = node.inputs;
    inputs[0] = first.value;
    if (node.op == "Concat") {
      for (size_t i = 1; i < inputs.size(); ++i) {
        const Codes other = quantized_of(node.inputs[i]);
        if (other.value == kNoValue || other.dtype != first.dtype || !quantization ||
            graph_.value(other.value).quantization != quantization)
          return;
        inputs[i] = other.value;
      }
    }
    if (node.op == "Pad" && !pad_quantized(node, first.dtype, inputs)) return;
    const std::vector<ValueId> outputs = add_moved(node, std::move(inputs), quantization);
    for (size_t i = 0; i < outputs.size(); ++i)
      if (outputs[i] != kNoValue) quantized_[index(node.outputs[i])] = {outputs[i], first.dtype};
  }

  // `node` once more on codes; its new outputs.
  std::vector<ValueId> add_moved(const Node& node, std::vector<ValueId> inputs,
                                 const std::optional<Quantization>& quantization) {
    std::vector<ValueId> outputs;
    for (ValueId id : node.outputs) {
      outputs.push_back(id == kNoValue ? id : graph_.add_value(graph_.value(id).name + "/codes"));
      if (id == kNoValue) continue;
      graph_.value(outputs.back()).quantization = quantization;
      graph_.value(outputs.back()).rank = graph_.value(id).rank;
    }
    Node& added = add_node(node.op, node, std::move(inputs), kNoValue);
    added.attributes = node.attributes;
    added.outputs = outputs;
    return outputs;
  }

  // Pad's constant among the model's own codes.
  bool pad_quantized(const Node& node, DType dtype, std::vector<ValueId>& inputs) {
    if (node.attributes.text("mode", "constant") != "constant") return true;
    if (node.opset < 11) return false;
    Tensor code = Tensor::scalar<uint8_t>(dtype == DType::kInt8 ? 128 : 0);
    if (inputs.size() > 2 && inputs[2] != kNoValue) {
      const Tensor* given = graph_.constant(inputs[2]);
      if (!given || given->dtype() != dtype || given->shape().elements() != 1) return false;
      code = to_codes(*given)->reshaped(Shape{});
    }
    inputs.resize(std::max<size_t>(inputs.size(), 3), kNoValue);
    inputs[2] = graph_.add_constant(node.name + "/pad", std::move(code));
    return true;
  }

  // Pad's constant as a code; only if a code stands for it exactly.
  bool pad_codes(const Node& node, const Quantization& quantization, std::vector<ValueId>& inputs,
                 const Attributes& attributes) {
    if (attributes.text("mode", "constant") != "constant") return true;
    float value = attributes.number("value", 0.0f);
    if (node.opset < 11) return false;  // the attribute form cannot say a uint8 value
    if (inputs.size() > 2 && inputs[2] != kNoValue) {
      const Tensor* constant = graph_.constant(inputs[2]);
      if (!constant || constant->dtype() != DType::kFloat32 || constant->shape().elements() != 1)
        return false;
      value = constant->data<float>()[0];
    }
    const uint8_t code = quantize(value, quantization);
    if (static_cast<float>(code - quantization.zero_point) * quantization.scale != value)
      return false;
    inputs.resize(std::max<size_t>(inputs.size(), 3), kNoValue);
    inputs[2] = graph_.add_constant(node.name + "/pad", Tensor::scalar<uint8_t>(code));
    return true;
  }

  void lower_quantize(const Node& node) {
    DType dtype;
    const auto quantization = tensor_quantization(graph_, node, DType::kUInt8, dtype);
    if (!quantization) return;
    const ValueId x = node.inputs[0];
    ValueId codes = codes_of(x);
    if (codes == kNoValue || graph_.value(codes).quantization != *quantization) {
      codes = add_codes(graph_.value(node.outputs[0]).name, *quantization, graph_.value(x).rank);
      if (!lower_table(node, x, codes) && !lower_operator(x, codes))
        add_node("Quantize", node, {x}, codes);
    }
    quantized_[index(node.outputs[0])] = {codes, dtype};
  }

  // Any chain of elementwise operators from one tensor of codes to `x` becomes one 256-entry table.
  bool lower_table(const Node& like, ValueId x, ValueId codes) {
    std::vector<const Node*> chain;  // in order of evaluation
    ValueId source = kNoValue;
    if (!collect_chain(x, chain, source) || source == kNoValue) return false;
    const Quantization from = *graph_.value(source).quantization;
    Tensor reals(DType::kFloat32, Shape{256});
    for (int code = 0; code < 256; ++code)
      reals.mutable_data<float>()[static_cast<size_t>(code)] =
          static_cast<float>(code - from.zero_point) * from.scale;
    std::map<ValueId, Tensor> results;
    const auto tensor_of = [&](ValueId id) -> const Tensor* {
      if (id == kNoValue) return nullptr;
      if (const Tensor* constant = graph_.constant(id)) return constant;
      if (const auto it = results.find(id); it != results.end()) return &it->second;
      return &reals;
    };
    for (const Node* node : chain) {
      std::vector<const Tensor*> inputs;
      for (ValueId id : node->inputs) inputs.push_back(tensor_of(id));
      results[node->outputs[0]] = evaluate(graph_, *node, inputs)[0];
    }
    const Tensor& result = *tensor_of(x);
    if (result.dtype() != DType::kFloat32 || result.shape().elements() != 256) return false;
    Tensor table(DType::kUInt8, Shape{256});
    const Quantization to = *graph_.value(codes).quantization;
    for (size_t i = 0; i < 256; ++i)
      table.mutable_data<uint8_t>()[i] = quantize(result.data<float>()[i], to);
    const ValueId table_id = graph_.add_constant(like.name + "/table", std::move(table));
    graph_.value(codes).rank = graph_.value(source).rank;
    add_node("QLookup", like, {source, table_id}, codes);
    return true;
  }

  bool collect_chain(ValueId id, std::vector<const Node*>& chain, ValueId& source) const {
    if (const ValueId codes = codes_of(id); codes != kNoValue && !graph_.constant(codes)) {
      if (source != kNoValue && source != codes) return false;
      source = codes;
      return true;
    }
    const Node* node = producer(id);
    if (!node || node->outputs.size() != 1 || chain.size() >= kMaxTableChain) return false;
    if (std::find(chain.begin(), chain.end(), node) != chain.end()) return true;
    if (!find_operator(node->op)->elementwise) return false;
    const int rank = graph_.value(id).rank;
    for (ValueId input : node->inputs) {
      if (input == kNoValue) continue;
      if (const Tensor* constant = graph_.constant(input)) {
        // A scalar of higher rank than the tensor would change the output's shape.
        if (constant->shape().elements() != 1 ||
            (constant->shape().rank() > 0 && constant->shape().rank() > rank))
          return false;
        continue;
      }
      if (graph_.value(input).rank != rank || !collect_chain(input, chain, source)) return false;
    }
    chain.push_back(node);
    return chain.size() <= kMaxTableChain;
  }

  // Looks back from the float value `x` over Relu and Clip to an operator with an integer form that
  // yields `codes`.
  bool lower_operator(ValueId x, ValueId codes) {
    ClampRange range{-kInfinity, kInfinity};
    const Node* node = producer(x);
    ValueId output = x;
    while (node) {
      const auto clamp = clamp_range(graph_, *node);
      if (!clamp) break;
      if (!uses_.read_once(output)) return false;
      // The clamps found so far run after this one.
      range = {std::clamp(clamp->low, range.low, range.high),
               std::clamp(clamp->high, range.low, range.high)};
      output = node->inputs[0];
      node = producer(output);
    }
    if (!node || !uses_.read_once(output)) return false;
    return lower_node(*node, codes, range);
  }

  bool lower_node(const Node& node, ValueId output, ClampRange range) {
    if (node.op == "Conv") return lower_conv(Node(node), output, range);
    if (node.op == "Gemm")
      return lower_gemm(Node(node), node.inputs.size() > 2 ? node.inputs[2] : kNoValue, output,
                        range);
    if (node.op == "MatMul") return lower_gemm(Node(node), kNoValue, output, range);
    if (node.op == "Add" && lower_biased_product(Node(node), output, range)) return true;
    if (!graph_.value(output).quantization) return false;
    if (node.op == "Add" || node.op == "Sub" || node.op == "Mul")
      return lower_binary(Node(node), output, range);
    const bool clamped = range.low != -kInfinity || range.high != kInfinity;
    if (clamped) return false;
    if (node.op == "AveragePool" || node.op == "GlobalAveragePool")
      return lower_average(Node(node), output);
    if (node.op == "ReduceMean") return lower_mean(Node(node), output);
    if (node.op == "Concat") return lower_concat(Node(node), output);
    return false;
  }

  static void set_range(Node& node, ClampRange range) {
    if (range.low != -kInfinity) node.attributes.set("low", range.low);
    if (range.high != kInfinity) node.attributes.set("high", range.high);
  }

  void add_weighted(const char* op, const Node& node, ValueId x, IntegerWeights weights,
                    IntegerBias bias, ValueId output, ClampRange range) {
    std::vector<ValueId> inputs{
        x, graph_.add_constant(node.name + "/weight", std::move(weights.codes))};
    if (bias.tensor)
      inputs.push_back(graph_.add_constant(node.name + "/bias", std::move(*bias.tensor)));
    Node& added = add_node(op, node, std::move(inputs), output);
    if (node.op == "Conv") added.attributes = node.attributes;
    added.attributes.set("weight_scale", std::move(weights.scale));
    if (!weights.zero.empty()) added.attributes.set("weight_zero", std::move(weights.zero));
    set_range(added, range);
  }

  static bool is_too_deep(const IntegerWeights& weights) {
    const Shape& shape = weights.codes.shape();
    return shape.elements(1, shape.rank()) >
           (weights.zero.empty() ? kMaxIntegerDepth : kMaxCentredDepth);
  }

  bool lower_conv(const Node& node, ValueId output, ClampRange range) {
    const ValueId x = codes_of(node.inputs[0]);
    if (x == kNoValue || graph_.constant(x)) return false;
    auto weights = integer_weights(graph_, uses_, node.inputs[1], 0);
    if (!weights) return false;
    const int64_t rank = weights->codes.shape().rank();
    if (rank != 3 && rank != 4) return false;
    if (is_too_deep(*weights)) return false;
    auto bias = integer_bias(graph_, uses_, node.inputs.size() > 2 ? node.inputs[2] : kNoValue,
                             graph_.value(x).quantization->scale, *weights);
    if (!bias) return false;
    add_weighted("QConv", node, x, std::move(*weights), std::move(*bias), output, range);
    return true;
  }

  // MatMul and an Add of a constant vector: a linear layer on tensors of rank 3 and more, as
  // exporters write it.
  bool lower_biased_product(const Node& add, ValueId output, ClampRange range) {
    const int rank = graph_.value(add.outputs[0]).rank;
    for (size_t side = 0; side < 2; ++side) {
      const Node* product = producer(add.inputs[side]);
      if (product && product->op == "MatMul" && uses_.read_once(add.inputs[side]) && rank >= 0 &&
          graph_.value(add.inputs[side]).rank == rank &&
          lower_gemm(Node(*product), add.inputs[1 - side], output, range))
        return true;
    }
    return false;
  }

  bool lower_gemm(const Node& node, ValueId bias_id, ValueId output, ClampRange range) {
    const ValueId x = codes_of(node.inputs[0]);
    if (x == kNoValue || graph_.constant(x)) return false;
    int64_t channel_axis = 1;
    if (node.op == "Gemm") {
      if (node.attributes.integer("transA", 0) != 0 ||
          node.attributes.number("alpha", 1.0f) != 1.0f ||
          node.attributes.number("beta", 1.0f) != 1.0f)
        return false;
      channel_axis = node.attributes.integer("transB", 0) != 0 ? 0 : 1;
    } else if (graph_.value(node.inputs[0]).rank < 2) {
      return false;
    }
    auto weights = integer_weights(graph_, uses_, node.inputs[1], channel_axis);
    if (!weights || weights->codes.shape().rank() != 2 || is_too_deep(*weights)) return false;
    auto bias = integer_bias(graph_, uses_, bias_id, graph_.value(x).quantization->scale, *weights);
    if (!bias) return false;
    add_weighted("QGemm", node, x, std::move(*weights), std::move(*bias), output, range);
    return true;
  }

  bool lower_binary(const Node& node, ValueId output, ClampRange range) {
    const ValueId a = codes_of(node.inputs[0]), b = codes_of(node.inputs[1]);
    if (a == kNoValue || b == kNoValue) return false;
    Node& added = add_node(node.op == "Mul" ? "QMul" : "QAdd", node, {a, b}, output);
    if (node.op == "Sub") added.attributes.set("subtract", int64_t{1});
    set_range(added, range);
    return true;
  }

  bool lower_average(const Node& node, ValueId output) {
    const ValueId x = codes_of(node.inputs[0]);
    const int rank = x == kNoValue ? -1 : graph_.value(x).rank;
    if (rank != 3 && rank != 4) return false;
    Node& added = add_node("QAveragePool", node, {x}, output);
    added.attributes = node.attributes;
    if (node.op == "GlobalAveragePool") added.attributes.set("global", int64_t{1});
    return true;
  }

  // A mean over all spatial axes is a global pool; without keepdims, less its axes of extent 1.
  bool lower_mean(const Node& node, ValueId output) {
    const ValueId x = codes_of(node.inputs[0]);
    const int rank = x == kNoValue ? -1 : graph_.value(x).rank;
    if ((rank != 3 && rank != 4) || !reduces_pixels(node, rank)) return false;
    const bool keep = node.attributes.integer("keepdims", 1) != 0;
    const Quantization to = *graph_.value(output).quantization;
    const ValueId pooled = keep ? output : add_codes(node.name + "/pooled", to, rank);
    add_node("QAveragePool", node, {x}, pooled).attributes.set("global", int64_t{1});
    if (!keep) add_node("Flatten", node, {pooled}, output).opset = 13;
    return true;
  }

  bool reduces_pixels(const Node& node, int rank) const {
    std::vector<int64_t> axes = node.attributes.integers("axes", {});
    if (node.inputs.size() > 1) {
      const Tensor* given = graph_.constant(node.inputs[1]);
      if (!given || given->dtype() != DType::kInt64) return false;
      axes.assign(given->data<int64_t>().begin(), given->data<int64_t>().end());
    }
    for (int64_t& axis : axes) axis = axis < 0 ? axis + rank : axis;
    std::sort(axes.begin(), axes.end());
    return axes == (rank == 4 ? std::vector<int64_t>{2, 3} : std::vector<int64_t>{2});
  }

  bool lower_concat(const Node& node, ValueId output) {
    std::vector<ValueId> inputs;
    for (ValueId id : node.inputs) {
      if (codes_of(id) == kNoValue) return false;
      inputs.push_back(codes_of(id));
    }
    const Quantization to = *graph_.value(output).quantization;
    for (ValueId& id : inputs) id = requantized(node, id, to);
    add_node("Concat", node, std::move(inputs), output).attributes = node.attributes;
    return true;
  }

  ValueId requantized(const Node& like, ValueId codes, const Quantization& to) {
    const Quantization from = *graph_.value(codes).quantization;
    if (from == to) return codes;
    Tensor table(DType::kUInt8, Shape{256});
    for (int code = 0; code < 256; ++code)
      table.mutable_data<uint8_t>()[static_cast<size_t>(code)] =
          quantize(static_cast<float>(code - from.zero_point) * from.scale, to);
    const ValueId table_id = graph_.add_constant(like.name + "/table", std::move(table));
    const ValueId output =
        add_codes(graph_.value(codes).name + "/requantized", to, graph_.value(codes).rank);
    add_node("QLookup", like, {codes, table_id}, output);
    return output;
  }

  // Convolutions and products that no QuantizeLinear follows still run on codes and yield float32.
  void lower_float_outputs() {
    const size_t originals = graph_.nodes.size();
    const auto lower_all = [&](std::initializer_list<const char*> operators) {
      for (size_t n = 0; n < originals; ++n) {
        const Node node = graph_.nodes[n];
        if (is_one_of(node.op, operators) &&
            lower_node(node, node.outputs[0], {-kInfinity, kInfinity}))
          graph_.nodes[n].outputs[0] = retired();
      }
    };
    lower_all({"Add"});  // a product with its bias, before the product alone
    lower_all({"Conv", "Gemm", "MatMul"});
  }

  // A value that nothing reads, so that the node which makes it is pruned.
  ValueId retired() { return graph_.add_value(""); }

  void replace_dequantize(size_t originals) {
    for (size_t n = 0; n < originals; ++n) {
      Node& node = graph_.nodes[n];
      if (node.outputs.empty()) continue;
      const ValueId codes = codes_of(node.outputs[0]);
      if (codes == kNoValue || graph_.constant(codes)) continue;
      const std::string name = node.name;
      node = {.op = "Dequantize",
              .name = name,
              .inputs = {codes},
              .outputs = {node.outputs[0]},
              .attributes = {},
              .opset = node.opset};
    }
  }

  // Codes that leave the model, or that an operator reads which knows nothing of their scale.
  void replace_quantize(size_t originals) {
    for (size_t n = 0; n < originals; ++n) {
      const Node& node = graph_.nodes[n];
      if (node.op != "QuantizeLinear" || node.outputs.empty()) continue;
      const Codes codes = quantized_[index(node.outputs[0])];
      if (codes.value == kNoValue) continue;
      const std::string name = node.name;
      const std::vector<ValueId> outputs = node.outputs;
      Node replaced{.op = "Identity",
                    .name = name,
                    .inputs = {codes.value},
                    .outputs = outputs,
                    .attributes = {},
                    .opset = 13};
      if (codes.dtype == DType::kInt8) {
        replaced.op = "QLookup";
        replaced.inputs.push_back(flipped_bytes(DType::kInt8));
      }
      graph_.nodes[n] = std::move(replaced);
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
    add_node("QLookup", like, {codes, flipped_bytes(DType::kUInt8)}, id);
    return id;
  }

  // The table between int8 codes and the same raised by 128, as bytes: the top bit flips.
  ValueId flipped_bytes(DType to) {
    Tensor table(to, Shape{256});
    auto* bytes = static_cast<uint8_t*>(table.mutable_raw());
    for (size_t i = 0; i < 256; ++i) bytes[i] = static_cast<uint8_t>(i ^ 0x80);
    return graph_.add_constant("flipped", std::move(table));
  }

  Graph& graph_;
  Uses uses_;
  std::vector<ValueId> codes_;    // float value → its codes, where it has any
  std::vector<Codes> quantized_;  // a QuantizeLinear's output → its codes
};

}  // namespace

void lower_qdq(Graph& graph) {
  expand_fused(graph);
  fuse_dynamic_products(graph);
  Lowering(graph).run();
}

}  // namespace sanderling
