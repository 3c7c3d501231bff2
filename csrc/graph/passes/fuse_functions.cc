// Products that exporters write for one function of x become the operator of its name, which reads
// and writes memory once:
//   x sigmoid(a x)                                          Swish
//   0.5 x (1 + erf(x / sqrt(2)))                            Gelu
//   0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))       Gelu, approximate
//   x tanh(softplus(x))                                     Mish
// Factors may stand in any order and nesting, and divisors in place of factors.
#include <cmath>
#include <numbers>

#include "graph/passes/passes.h"

namespace sanderling {
namespace {

// A product: a number times other values.
struct Product {
  double factor = 1.0;
  std::vector<ValueId> values;
};

// Of a constant in float16, the coarsest that exporters of these chains round to.
constexpr double kRounding = 0x1p-11;

bool is_near(double number, double wanted) {
  return std::fabs(number - wanted) <= kRounding * std::fabs(wanted);
}

class Fusing {
 public:
  explicit Fusing(Graph& graph) : graph_(graph), uses_(graph) {}

  void run() {
    for (Node& node : graph_.nodes)
      if (node.op == "Mul" || node.op == "Div") fuse(node);
    sort_and_prune(graph_);
  }

 private:
  // Products have four values at most: deeper ones are none of ours.
  static constexpr int kDepth = 5;

  void fuse(Node& node) const {
    Product product;
    if (!split(node, kDepth, product) || product.values.size() != 2) return;
    for (size_t side : {size_t{0}, size_t{1}}) {
      const ValueId x = product.values[side], other = product.values[1 - side];
      if (constants_fit(node, x) && replace(node, x, other, product.factor)) return;
    }
  }

  // Whether `node`, which is factor * x * other, became one operator.
  bool replace(Node& node, ValueId x, ValueId other, double factor) const {
    const Node* gate = inner(other);
    if (!gate) return false;
    if (factor == 1.0 && gate->op == "Sigmoid") {
      const std::optional<double> alpha = multiple_of(gate->inputs[0], x);
      if (!alpha) return false;
      Attributes attributes;
      attributes.set("alpha", static_cast<float>(*alpha));
      become(node, "Swish", 24, x, std::move(attributes));
      return true;
    }
    if (factor == 1.0 && gate->op == "Tanh") {
      const Node* softplus = inner(gate->inputs[0]);
      if (!softplus || softplus->op != "Softplus" || softplus->inputs[0] != x) return false;
      become(node, "Mish", 18, x, {});
      return true;
    }
    return factor == 0.5 && replace_gelu(node, x, other);
  }

  // The same where `other` is 1 + a function.
  bool replace_gelu(Node& node, ValueId x, ValueId other) const {
    const Node* function = inner(added_to_one(other));
    if (!function) return false;
    if (function->op == "Erf") {
      const std::optional<double> scale = multiple_of(function->inputs[0], x);
      if (!scale || !is_near(*scale, std::numbers::sqrt2 / 2)) return false;
      become(node, "Gelu", 20, x, {});
      return true;
    }
    if (function->op != "Tanh" || !is_gelu_argument(function->inputs[0], x)) return false;
    Attributes attributes;
    attributes.set("approximate", std::string("tanh"));
    become(node, "Gelu", 20, x, std::move(attributes));
    return true;
  }

  // Whether v is sqrt(2 / pi) (x + 0.044715 x^3), or the same with x as a factor.
  bool is_gelu_argument(ValueId v, ValueId x) const {
    constexpr double kCubic = 0.044715;
    Product outer = product_of(v);
    if (!is_near(outer.factor, std::sqrt(2.0 / std::numbers::pi))) return false;
    const bool factored = outer.values.size() == 2 && std::erase(outer.values, x) == 1;
    if (outer.values.size() != 1) return false;
    const ValueId cubic = factored ? added_to_one(outer.values[0]) : added_to(outer.values[0], x);
    if (cubic == kNoValue) return false;
    const Product power = product_of(cubic);
    return is_near(power.factor, kCubic) && degree(power, x) == (factored ? 2 : 3);
  }

  // n where the values of a product are those of x^n, else 0.
  double degree(const Product& product, ValueId x) const {
    double total = 0.0;
    for (ValueId value : product.values) {
      const Node* power = value == x ? nullptr : inner(value);
      if (value == x)
        total += 1.0;
      else if (power && power->op == "Pow" && power->inputs[0] == x)
        total += number(power->inputs[1]).value_or(0.0);
      else
        return 0.0;
    }
    return total;
  }

  static void become(Node& node, const char* op, int64_t opset, ValueId x, Attributes attributes) {
    node.op = op;
    node.opset = opset;
    node.inputs = {x};
    node.formal_inputs = 1;
    node.attributes = std::move(attributes);
  }

  // The node that makes a value for one reader only.
  const Node* inner(ValueId id) const {
    if (id == kNoValue || !uses_.read_once(id) || uses_.producer(id) < 0) return nullptr;
    return &graph_.nodes[static_cast<size_t>(uses_.producer(id))];
  }

  // Constants of one element.
  std::optional<double> number(ValueId id) const {
    const Tensor* tensor = graph_.constant(id);
    if (!tensor || tensor->shape().elements() != 1) return std::nullopt;
    switch (tensor->dtype()) {
      case DType::kFloat32:
        return tensor->data<float>()[0];
      case DType::kFloat64:
        return tensor->data<double>()[0];
      case DType::kInt32:
        return tensor->data<int32_t>()[0];
      case DType::kInt64:
        return static_cast<double>(tensor->data<int64_t>()[0]);
      default:
        return std::nullopt;
    }
  }

  // Whether the node is a product; adds its factors to `product`.
  bool split(const Node& node, int depth, Product& product) const {
    const bool divides = node.op == "Div";
    if ((!divides && node.op != "Mul") || node.attributes.has("low") ||
        (divides && !number(node.inputs[1])))
      return false;
    for (size_t i = 0; i < 2; ++i) {
      if (const std::optional<double> constant = number(node.inputs[i]))
        product.factor *= divides && i == 1 ? 1.0 / *constant : *constant;
      else
        add_factors(node.inputs[i], depth, product);
    }
    return true;
  }
  void add_factors(ValueId id, int depth, Product& product) const {
    const Node* node = depth > 0 ? inner(id) : nullptr;
    if (!node || !split(*node, depth - 1, product)) product.values.push_back(id);
  }
  Product product_of(ValueId id) const {
    Product product;
    add_factors(id, kDepth, product);
    return product;
  }

  // a where id is a * x.
  std::optional<double> multiple_of(ValueId id, ValueId x) const {
    if (id == x) return 1.0;
    const Product product = product_of(id);
    if (product.values != std::vector<ValueId>{x}) return std::nullopt;
    return product.factor;
  }

  // The other term where id is a sum of `term` and it, else kNoValue.
  ValueId added_to(ValueId id, ValueId term) const {
    const Node* sum = inner(id);
    if (!sum || sum->op != "Add") return kNoValue;
    for (size_t i = 0; i < 2; ++i)
      if (sum->inputs[i] == term) return sum->inputs[1 - i];
    return kNoValue;
  }
  ValueId added_to_one(ValueId id) const {
    const Node* sum = inner(id);
    if (!sum || sum->op != "Add") return kNoValue;
    for (size_t i = 0; i < 2; ++i)
      if (number(sum->inputs[i]) == 1.0) return sum->inputs[1 - i];
    return kNoValue;
  }

  // Whether no constant between x and the node has more dimensions than x: it would give the result
  // as many.
  bool constants_fit(const Node& node, ValueId x) const {
    const int rank = graph_.value(x).rank;
    return rank >= 0 && graph_.value(node.outputs[0]).rank == rank;
  }

  Graph& graph_;
  const Uses uses_;
};

}  // namespace

void fuse_functions(Graph& graph) { Fusing(graph).run(); }

}  // namespace sanderling
