// Takes apart what other tools have fused, so that the passes after it see the same graph whoever
// wrote it:
//   QLinearConv and the like    DequantizeLinear of each input, the operator, QuantizeLinear
//   DynamicQuantizeMatMul       DynamicQuantizeLinear, MatMulIntegerToFloat
//   QAttention                  MatMulIntegerToFloat, Split, MultiHeadAttention
//   DynamicQuantizeLSTM         (codes - zero point) * scale, transposed, of its weights, LSTM
//   FusedConv, FusedGemm        the operator, Add, the activation
// and gives QuantizeLinear and DequantizeLinear of com.microsoft ONNX's own names.
// Operators whose scales are computed in the run stay as they are.
#include <algorithm>
#include <array>

#include "graph/operator.h"
#include "graph/passes/qdq.h"

namespace sanderling {
namespace {

const std::string kMicrosoft = "com.microsoft.";

// The form of an operator on codes: where its tensors, scales and zero points stand.
struct Codes {
  size_t tensor, scale, zero;
};
struct Form {
  std::string op;             // that is between the codes
  std::vector<Codes> inputs;  // in the order of `op`
  size_t y_scale, y_zero;
};

std::optional<Form> form_of(const Node& node) {
  const auto binary = [](const char* op) { return Form{op, {{0, 1, 2}, {3, 4, 5}}, 6, 7}; };
  const auto unary = [](const char* op) { return Form{op, {{0, 1, 2}}, 3, 4}; };
  if (node.op == "QLinearConv") return binary("Conv");
  if (node.op == "QLinearMatMul") return binary("MatMul");
  if (!node.op.starts_with(kMicrosoft)) return std::nullopt;
  const std::string name = node.op.substr(kMicrosoft.size());
  if (name == "QLinearAdd") return binary("Add");
  if (name == "QLinearMul") return binary("Mul");
  if (name == "QLinearSigmoid") return unary("Sigmoid");
  if (name == "QLinearLeakyRelu") return unary("LeakyRelu");
  if (name == "QLinearSoftmax") return unary("Softmax");
  if (name == "QLinearAveragePool") return unary("AveragePool");
  if (name == "QLinearGlobalAveragePool") return unary("GlobalAveragePool");
  if (name == "QGemm") return Form{"Gemm", {{0, 1, 2}, {3, 4, 5}}, 7, 8};
  if (name == "QLinearConcat") {
    Form form{"Concat", {}, 0, 1};
    for (size_t i = 2; i + 2 < node.inputs.size(); i += 3) form.inputs.push_back({i, i + 1, i + 2});
    return form;
  }
  return std::nullopt;
}

class Expansion {
 public:
  explicit Expansion(Graph& graph) : graph_(graph) {}

  void run() {
    std::vector<Node> originals;
    originals.swap(graph_.nodes);
    for (Node& node : originals) {
      // The same but for the domain, in which older opsets have more types.
      if (node.op == kMicrosoft + "QuantizeLinear" || node.op == kMicrosoft + "DequantizeLinear")
        node.op = node.op.substr(kMicrosoft.size());
      if (!expand_codes(node) && !expand_dynamic(node) && !expand_attention(node) &&
          !expand_dynamic_lstm(node) && !expand_activation(node))
        graph_.nodes.push_back(std::move(node));
    }
    sort_and_prune(graph_);
  }

 private:
  static ValueId input(const Node& node, size_t i) {
    return i < node.inputs.size() ? node.inputs[i] : kNoValue;
  }
  const Tensor* constant(const Node& node, size_t i) const {
    return graph_.constant(input(node, i));
  }
  int rank(ValueId id) const { return graph_.value(id).rank; }

  ValueId add_value(const Node& like, const char* what, int rank) {
    const ValueId id = graph_.add_value(like.name + "/" + what);
    graph_.value(id).rank = rank;
    return id;
  }
  Node& add_node(std::string op, const Node& like, std::vector<ValueId> inputs,
                 std::vector<ValueId> outputs, int64_t opset) {
    while (!inputs.empty() && inputs.back() == kNoValue) inputs.pop_back();
    Node node{.op = std::move(op),
              .name = like.name,
              .inputs = std::move(inputs),
              .outputs = std::move(outputs),
              .attributes = {},
              .opset = opset};
    node.formal_inputs = node.inputs.size();
    return graph_.nodes.emplace_back(std::move(node));
  }

  // One scale that is constant, or one per channel where `channels` is not 1.
  bool has_scale(const Node& node, size_t scale, size_t zero, int64_t channels = 1) const {
    const Tensor* s = constant(node, scale);
    const bool known = s && s->dtype() == DType::kFloat32 &&
                       (input(node, zero) == kNoValue || constant(node, zero));
    if (!known) return false;
    const Tensor* z = constant(node, zero);
    if (z && z->shape().elements() != s->shape().elements()) return false;
    return s->shape().elements() == 1 || (s->shape().rank() == 1 && s->shape()[0] == channels);
  }

  // Which axis of its second operand is that of output channels, -1 where the node may have one
  // scale only; nothing where the node is better left alone.
  std::optional<int64_t> channel_axis(const Node& node, const std::string& op) const {
    if (op == "Conv") return constant(node, 3) ? std::optional<int64_t>(0) : std::nullopt;
    if (op == "Gemm") {
      if (!constant(node, 3) || node.attributes.integer("transA", 0) != 0) return std::nullopt;
      return node.attributes.integer("transB", 0) != 0 ? 0 : 1;
    }
    if (op == "MatMul") {
      const Tensor* b = constant(node, 3);
      if (!b) return -1;
      if (b->shape().rank() != 2 || rank(node.inputs[0]) < 2) return std::nullopt;
      return 1;
    }
    return -1;
  }

  bool can_expand(const Node& node, const Form& form, int64_t axis) const {
    if (!find_operator(form.op) || node.attributes.integer("channels_last", 0) != 0) return false;
    for (size_t i = 0; i < form.inputs.size(); ++i) {
      const Tensor* tensor = constant(node, form.inputs[i].tensor);
      const bool has_channels = i == 1 && axis >= 0 && tensor && tensor->shape().rank() > axis;
      if (!has_scale(node, form.inputs[i].scale, form.inputs[i].zero,
                     has_channels ? tensor->shape()[axis] : 1))
        return false;
    }
    const bool real = form.op == "Gemm" && input(node, form.y_scale) == kNoValue;
    return real || has_scale(node, form.y_scale, form.y_zero);
  }

  bool expand_codes(const Node& node) {
    const std::optional<Form> form = form_of(node);
    if (!form || node.outputs.empty()) return false;
    const std::optional<int64_t> axis = channel_axis(node, form->op);
    if (!axis || !can_expand(node, *form, *axis)) return false;
    std::optional<ValueId> zero = output_zero_point(node, *form);
    const size_t bias_at = form->op == "Conv" ? 8 : form->op == "Gemm" ? 6 : node.inputs.size();
    const float alpha = node.attributes.number("alpha", 1.0f);
    if (!zero || !can_dequantize_bias(node, bias_at, *axis)) return false;
    std::vector<ValueId> inputs;
    for (size_t i = 0; i < form->inputs.size(); ++i) {
      const Codes& c = form->inputs[i];
      ValueId scale = node.inputs[c.scale];
      if (i == 1 && form->op == "Gemm" && alpha != 1.0f) scale = scaled(node, scale, alpha);
      inputs.push_back(
          dequantized(node, node.inputs[c.tensor], scale, input(node, c.zero), i == 1 ? *axis : 0));
    }
    if (input(node, bias_at) != kNoValue) inputs.push_back(dequantized_bias(node, bias_at, alpha));
    const bool real = input(node, form->y_scale) == kNoValue;
    const ValueId y = real ? node.outputs[0] : add_value(node, "real", rank(node.outputs[0]));
    // QLinearSoftmax names the opset whose Softmax it is, -1 its axis whatever that opset is.
    const bool softmax = form->op == "Softmax";
    Node& made = add_node(form->op, node, std::move(inputs), {y},
                          softmax ? node.attributes.integer("opset", 13) : 13);
    for (const auto& [name, value] : node.attributes.all())
      if (name != "channels_last" && name != "opset" && !(name == "alpha" && form->op == "Gemm"))
        made.attributes.set(name, value);
    if (softmax) made.attributes.set("axis", node.attributes.integer("axis", -1));
    if (!real)
      add_node("QuantizeLinear", node, {y, node.inputs[form->y_scale], *zero}, {node.outputs[0]},
               13);
    return true;
  }

  // That of the output, which says its type. Where it is left out the output has the type of the
  // inputs, which another zero point may tell.
  std::optional<ValueId> output_zero_point(const Node& node, const Form& form) {
    if (input(node, form.y_scale) == kNoValue) return kNoValue;
    if (const ValueId given = input(node, form.y_zero); given != kNoValue) return given;
    for (const Codes& c : form.inputs) {
      const Tensor* zero = constant(node, c.zero);
      if (!zero) zero = constant(node, c.tensor);
      if (zero) return graph_.add_constant(node.name + "/zero", Tensor(zero->dtype(), Shape{}));
    }
    return std::nullopt;
  }

  ValueId dequantized(const Node& node, ValueId codes, ValueId scale, ValueId zero, int64_t axis) {
    const ValueId real = add_value(node, "dequantized", rank(codes));
    add_node("DequantizeLinear", node, {codes, scale, zero}, {real}, 13)
        .attributes.set("axis", std::max<int64_t>(axis, 0));
    return real;
  }

  // One int32 per output channel, which counts in the product of both scales.
  bool can_dequantize_bias(const Node& node, size_t bias, int64_t axis) const {
    if (input(node, bias) == kNoValue) return true;
    const Tensor* codes = constant(node, bias);
    const int64_t channels = constant(node, 3)->shape()[axis];
    const Shape* shape = codes ? &codes->shape() : nullptr;
    return codes && codes->dtype() == DType::kInt32 && shape->elements() == channels &&
           shape->rank() > 0 && (*shape)[shape->rank() - 1] == channels;
  }

  ValueId dequantized_bias(const Node& node, size_t bias, float alpha) {
    const Tensor& x_scale = *constant(node, 1);
    const Tensor& w_scale = *constant(node, 4);
    Tensor scale(DType::kFloat32, w_scale.shape());
    for (size_t i = 0; i < w_scale.data<float>().size(); ++i)
      scale.mutable_data<float>()[i] =
          x_scale.data<float>()[0] * (alpha * w_scale.data<float>()[i]);
    const int64_t axis = constant(node, bias)->shape().rank() - 1;
    return dequantized(node, node.inputs[bias],
                       graph_.add_constant(node.name + "/bias_scale", std::move(scale)), kNoValue,
                       axis);
  }

  ValueId scaled(const Node& node, ValueId scale, float alpha) {
    const Tensor& from = *graph_.constant(scale);
    Tensor result(DType::kFloat32, from.shape());
    for (size_t i = 0; i < from.data<float>().size(); ++i)
      result.mutable_data<float>()[i] = alpha * from.data<float>()[i];
    return graph_.add_constant(node.name + "/scale", std::move(result));
  }

  bool expand_dynamic(const Node& node) {
    if (node.op != kMicrosoft + "DynamicQuantizeMatMul") return false;
    const ValueId codes = add_value(node, "codes", rank(node.inputs[0]));
    const ValueId scale = add_value(node, "scale", 0), zero = add_value(node, "zero", 0);
    add_node("DynamicQuantizeLinear", node, {node.inputs[0]}, {codes, scale, zero}, 11);
    add_node(kMicrosoft + "MatMulIntegerToFloat", node,
             {codes, node.inputs[1], scale, node.inputs[2], zero, input(node, 3), input(node, 4)},
             node.outputs, 1);
    return true;
  }

  // One without a past: MultiHeadAttention has past and present in two tensors each. What does not
  // fit is left to its shape rule to name.
  bool expand_attention(const Node& node) {
    if (node.op != kMicrosoft + "QAttention" || node.outputs.size() != 1) return false;
    const Tensor* const weights = constant(node, 1);
    const int64_t heads = node.attributes.integer("num_heads", 0);
    const bool fits = weights && weights->shape().rank() == 2 && heads > 0 &&
                      weights->shape()[1] % 3 == 0 && weights->shape()[1] / 3 % heads == 0;
    const bool plain = input(node, 8) == kNoValue && rank(node.inputs[0]) == 3 &&
                       node.attributes.integer("do_rotary", 0) == 0 &&
                       node.attributes.integer("past_present_share_buffer", 0) == 0;
    if (!fits || !plain) return false;
    const ValueId product = add_value(node, "product", 3), q = add_value(node, "q", 3),
                  k = add_value(node, "k", 3), v = add_value(node, "v", 3);
    add_node(kMicrosoft + "MatMulIntegerToFloat", node,
             {node.inputs[0], node.inputs[1], node.inputs[3], node.inputs[4], input(node, 6),
              input(node, 7), node.inputs[2]},
             {product}, 1);
    add_node("Split", node, {product}, {q, k, v}, 13).attributes.set("axis", int64_t{2});
    add_node(kMicrosoft + "MultiHeadAttention", node, {q, k, v, kNoValue, input(node, 5)},
             node.outputs, 1)
        .attributes = node.attributes;
    return true;
  }

  // Whether weights, scale and zero point are constant and fit; else its shape rule says what does
  // not.
  bool has_real_weights(const Node& node, size_t codes, size_t scale, size_t zero) const {
    const Tensor *w = constant(node, codes), *s = constant(node, scale), *z = constant(node, zero);
    if (!w || !s || !z || w->shape().rank() != 3) return false;
    const Shape each{w->shape()[0]}, every{w->shape()[0], w->shape()[2]};
    const auto fits = [&](const Tensor& t) { return t.shape() == each || t.shape() == every; };
    return (w->dtype() == DType::kInt8 || w->dtype() == DType::kUInt8) &&
           z->dtype() == w->dtype() && s->dtype() == DType::kFloat32 && fits(*s) && fits(*z) &&
           w->shape().elements() > 0;
  }

  // [directions, depth, columns] of codes as [directions, columns, depth] of real numbers. A scale
  // or zero point is one for each direction, or one for each of its columns.
  ValueId real_weights(const Node& node, ValueId codes, ValueId scale, ValueId zero) {
    Tensor shape(DType::kInt64, Shape{3});
    std::ranges::copy(std::array<int64_t, 3>{0, 1, -1}, shape.mutable_data<int64_t>().begin());
    const ValueId to = graph_.add_constant(node.name + "/columns", std::move(shape));
    const auto made = [&](const char* op, std::vector<ValueId> inputs, int rank) -> Node& {
      const ValueId y = add_value(node, op, rank);
      return add_node(op, node, std::move(inputs), {y}, 13);
    };
    const auto real = [&](ValueId x) {
      Node& cast = made("Cast", {x}, rank(x));
      cast.attributes.set("to", int64_t{1});  // FLOAT
      return cast.outputs[0];
    };
    const ValueId scales = made("Reshape", {scale, to}, 3).outputs[0];
    const ValueId zeros = made("Reshape", {real(zero), to}, 3).outputs[0];
    const ValueId centred = made("Sub", {real(codes), zeros}, 3).outputs[0];
    const ValueId weights = made("Mul", {centred, scales}, 3).outputs[0];
    Node& turned = made("Transpose", {weights}, 3);
    turned.attributes.set("perm", std::vector<int64_t>{0, 2, 1});
    return turned.outputs[0];
  }

  bool expand_dynamic_lstm(const Node& node) {
    if (node.op != kMicrosoft + "DynamicQuantizeLSTM") return false;
    if (!has_real_weights(node, 1, 8, 9) || !has_real_weights(node, 2, 10, 11)) return false;
    const ValueId w = real_weights(node, node.inputs[1], node.inputs[8], node.inputs[9]);
    const ValueId r = real_weights(node, node.inputs[2], node.inputs[10], node.inputs[11]);
    std::vector<ValueId> inputs(node.inputs.begin(), node.inputs.begin() + 8);
    inputs[1] = w;
    inputs[2] = r;
    add_node("LSTM", node, std::move(inputs), node.outputs, 14).attributes = node.attributes;
    return true;
  }

  // The activation's numbers by the names that its operator gives them.
  static std::optional<std::vector<const char*>> number_names(const std::string& activation) {
    for (const char* plain :
         {"", "Identity", "Relu", "Sigmoid", "HardSwish", "Tanh", "Softplus", "Softsign"})
      if (activation == plain) return std::vector<const char*>{};
    for (const char* one : {"LeakyRelu", "ThresholdedRelu", "Elu"})
      if (activation == one) return std::vector<const char*>{"alpha"};
    if (activation == "HardSigmoid") return std::vector<const char*>{"alpha", "beta"};
    if (activation == "Clip") return std::vector<const char*>{"min", "max"};
    return std::nullopt;
  }

  static std::vector<float> numbers_of(const Node& node) {
    if (node.attributes.has("activation_params"))
      return node.attributes.numbers("activation_params", {});
    std::vector<float> numbers;
    for (const char* name : {"activation_alpha", "activation_beta"})
      if (node.attributes.has(name)) numbers.push_back(node.attributes.number(name, 0.0f));
    return numbers;
  }

  bool expand_activation(const Node& node) {
    const bool conv = node.op == kMicrosoft + "FusedConv";
    if ((!conv && node.op != kMicrosoft + "FusedGemm") || node.outputs.empty()) return false;
    const std::string activation = node.attributes.text("activation", "");
    const auto names = number_names(activation);
    const bool none = activation.empty() || activation == "Identity";
    if (!names || (!none && !find_operator(activation))) return false;
    const int n = rank(node.outputs[0]);
    std::vector<ValueId> inputs = node.inputs;
    const ValueId summand = conv ? input(node, 3) : kNoValue;
    if (inputs.size() > 3) inputs.resize(3);
    ValueId y = none && summand == kNoValue ? node.outputs[0] : add_value(node, "product", n);
    Node& made = add_node(conv ? "Conv" : "Gemm", node, std::move(inputs), {y}, 13);
    for (const auto& [name, value] : node.attributes.all())
      if (!name.starts_with("activation")) made.attributes.set(name, value);
    if (summand != kNoValue) {
      const ValueId sum = none ? node.outputs[0] : add_value(node, "sum", n);
      add_node("Add", node, {y, summand}, {sum}, 13);
      y = sum;
    }
    if (none) return true;
    // Clip has its bounds as attributes up to opset 10; the others are the same in all opsets.
    Node& activated =
        add_node(activation, node, {y}, {node.outputs[0]}, activation == "HardSwish" ? 14 : 10);
    const std::vector<float> numbers = numbers_of(node);
    for (size_t i = 0; i < std::min(names->size(), numbers.size()); ++i)
      activated.attributes.set((*names)[i], numbers[i]);
    return true;
  }

  Graph& graph_;
};

}  // namespace

void expand_fused(Graph& graph) { Expansion(graph).run(); }

}  // namespace sanderling
