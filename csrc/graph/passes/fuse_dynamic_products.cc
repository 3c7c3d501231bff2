// DynamicQuantizeLinear - MatMulInteger - Cast - Mul by both scales (- Add of a bias), as tools for
// dynamic quantization write a product, becomes MatMulIntegerToFloat: the same numbers in one pass
// over them.
#include <algorithm>

#include "graph/passes/qdq.h"

namespace sanderling {
namespace {

class Fusion {
 public:
  explicit Fusion(Graph& graph) : graph_(graph), uses_(graph) {}

  void run() {
    bool any = false;
    for (const char* last : {"Add", "Mul"})  // with a bias before without
      for (const Node& node : graph_.nodes) any = (node.op == last && fuse(node)) || any;
    if (any) sort_and_prune(graph_);
  }

 private:
  const Node* producer(ValueId id, const char* op) const {
    const int n = id == kNoValue ? -1 : uses_.producer(id);
    if (n < 0) return nullptr;
    const Node& node = graph_.nodes[static_cast<size_t>(n)];
    return node.op == op ? &node : nullptr;
  }

  // One float32, or one per column.
  bool fits(ValueId id, DType dtype, int64_t columns) const {
    const Tensor* tensor = graph_.constant(id);
    return tensor && tensor->dtype() == dtype && tensor->shape().rank() <= 1 &&
           (tensor->shape().elements() == 1 || tensor->shape().elements() == columns);
  }

  struct Match {
    const Node* product = nullptr;  // MatMulInteger
    ValueId a_scale = kNoValue, b_scale = kNoValue;
  };

  // `mul` as the product times its scales.
  Match match(const Node& mul) const {
    for (size_t side = 0; side < 2; ++side) {
      const Node* cast = producer(mul.inputs[side], "Cast");
      const Node* scales = producer(mul.inputs[1 - side], "Mul");
      if (!cast || !scales || !uses_.read_once(mul.inputs[side])) continue;
      if (cast->attributes.integer("to", 0) != onnx_number_of(DType::kFloat32)) continue;
      const Node* product = producer(cast->inputs[0], "MatMulInteger");
      if (!product || product->inputs.size() < 3 || !uses_.read_once(cast->inputs[0])) continue;
      const Match found = with_scales(*product, *scales);
      if (found.product) return found;
    }
    return {};
  }

  Match with_scales(const Node& product, const Node& scales) const {
    const Node* a = producer(product.inputs[0], "DynamicQuantizeLinear");
    const Tensor* b = graph_.constant(product.inputs[1]);
    if (!a || a->outputs.size() != 3 || product.inputs[2] != a->outputs[2] || !b ||
        b->shape().rank() != 2)
      return {};
    const int64_t columns = b->shape()[1];
    if (product.inputs.size() > 3 && !fits(product.inputs[3], b->dtype(), columns)) return {};
    for (size_t side = 0; side < 2; ++side)
      if (scales.inputs[side] == a->outputs[1] &&
          fits(scales.inputs[1 - side], DType::kFloat32, columns))
        return {&product, a->outputs[1], scales.inputs[1 - side]};
    return {};
  }

  // Whether `add` adds one constant per column to `product`, and which.
  ValueId bias_of(const Node& add, size_t side, const Node& product) const {
    const ValueId id = add.inputs[1 - side];
    const Tensor* bias = graph_.constant(id);
    const int64_t columns = graph_.constant(product.inputs[1])->shape()[1];
    return bias && bias->dtype() == DType::kFloat32 && bias->shape() == Shape{columns} ? id
                                                                                       : kNoValue;
  }

  bool fuse(const Node& node) {
    if (node.outputs.size() != 1 || node.inputs.size() != 2) return false;
    if (node.op == "Mul") return fuse(node, match(node), kNoValue);
    if (node.op != "Add") return false;
    for (size_t side = 0; side < 2; ++side) {
      const Node* mul = producer(node.inputs[side], "Mul");
      if (!mul || !uses_.read_once(node.inputs[side])) continue;
      const Match found = match(*mul);
      const ValueId bias = found.product ? bias_of(node, side, *found.product) : kNoValue;
      if (bias != kNoValue) return fuse(node, found, bias);
    }
    return false;
  }

  // Puts the fused operator in the place of `last`.
  bool fuse(const Node& last, const Match& match, ValueId bias) {
    if (!match.product) return false;
    const Node& product = *match.product;
    const ValueId b_zero = product.inputs.size() > 3 ? product.inputs[3] : kNoValue;
    Node fused{.op = "com.microsoft.MatMulIntegerToFloat",
               .name = product.name,
               .inputs = {product.inputs[0], product.inputs[1], match.a_scale, match.b_scale,
                          product.inputs[2], b_zero, bias},
               .outputs = last.outputs,
               .attributes = {},
               .opset = 1};
    while (fused.inputs.back() == kNoValue) fused.inputs.pop_back();
    fused.formal_inputs = fused.inputs.size();
    replace(last, std::move(fused));
    return true;
  }

  // Other nodes keep their places, which `uses_` knows them by.
  void replace(const Node& old, Node made) {
    graph_.nodes[static_cast<size_t>(&old - graph_.nodes.data())] = std::move(made);
  }

  Graph& graph_;
  Uses uses_;
};

}  // namespace

void fuse_dynamic_products(Graph& graph) { Fusion(graph).run(); }

}  // namespace sanderling
