#include "ops/einsum_product.h"

#include <algorithm>
#include <array>
#include <optional>

#include "ops/node_checks.h"
#include "ops/parallel.h"
#include "ops/product.h"

namespace sanderling {
namespace {

// Fewer multiplications than that in one matrix product are not worth packing it for.
constexpr int64_t kLeastProduct = 512;
// Rows (and columns) that one packed operand should serve.
constexpr int64_t kLeastRows = 32;
constexpr int64_t kMaxProducts = int64_t{1} << 20;  // starts that a plan holds, 16 MiB

bool contains(const EinsumIndices& indices, int index) {
  return std::find(indices.begin(), indices.end(), index) != indices.end();
}

// Elements of an operand, or of the output, gathered in the order of some indices.
struct Permutation {
  struct Axis {
    int64_t extent = 1, stride = 0;
  };
  std::array<Axis, Shape::kMaxRank> axes{};  // innermost first; one of extent 1 where there is none
  int count = 0;
  int64_t elements = 1;

  void add(int64_t extent, int64_t stride) {  // from the innermost
    if (extent == 1) return;
    axes[static_cast<size_t>(count++)] = {extent, stride};
    elements *= extent;
  }

  bool keeps_order() const {
    int64_t dense = 1;
    for (int i = 0; i < count; ++i) {
      if (axes[static_cast<size_t>(i)].stride != dense) return false;
      dense *= axes[static_cast<size_t>(i)].extent;
    }
    return true;
  }

  void run(const float* from, float* to, Workers& workers) const {
    const Axis& inner = axes[0];
    const int64_t grain = std::max<int64_t>(1, kStreamGrain / inner.extent);
    for_each_range(workers, elements / inner.extent, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        int64_t rest = row, at = 0;
        for (int i = 1; i < count; ++i) {
          const Axis& axis = axes[static_cast<size_t>(i)];
          at += rest % axis.extent * axis.stride;
          rest /= axis.extent;
        }
        float* y = to + row * inner.extent;
        for (int64_t i = 0; i < inner.extent; ++i) y[i] = from[at + i * inner.stride];
      }
    });
  }
};

// The equation as products: output [batch, rows, columns] = a [a_batch, rows, depth] * b [b_batch,
// columns, depth] transposed. An index of one operand alone may be in `batch`: then the other's
// matrix is used again.
struct Matrices {
  size_t left = 0, right = 1;  // which operand is a, which b
  EinsumIndices batch, rows, columns, depth;
};

// Splits `order`, the output's indices, so that the result needs no move: its last indices that
// are b's alone are the columns, those of a alone before them the rows. False where one of the two
// would be too small.
bool split_in_place(const EinsumEquation& equation, const EinsumIndices& order, Matrices& m) {
  const EinsumIndices& a = equation.operands[m.left];
  const EinsumIndices& b = equation.operands[m.right];
  auto columns = order.end();
  while (columns != order.begin() && !contains(a, *(columns - 1))) --columns;
  auto rows = columns;
  while (rows != order.begin() && !contains(b, *(rows - 1))) --rows;
  m.batch = {order.begin(), rows};
  m.rows = {rows, columns};
  m.columns = {columns, order.end()};
  const auto in_both = [&](int index) { return contains(a, index) && contains(b, index); };
  const auto all_in = [&](const EinsumIndices& other) {  // but for those of this operand alone
    return std::all_of(m.batch.begin(), m.batch.end(),
                       [&](int index) { return in_both(index) || contains(other, index); });
  };
  return (equation.elements(m.rows) >= kLeastRows || all_in(b)) &&
         (equation.elements(m.columns) >= kLeastRows || all_in(a));
}

// Nothing where an index is summed within one operand alone, as then it is no product of matrices.
// Indices of extent 1 are left out: they move nothing.
std::optional<Matrices> matrices_of(const EinsumEquation& equation) {
  Matrices m;
  EinsumIndices order;
  for (int index : equation.output) {
    if (equation.extent(index) == 1) continue;
    order.push_back(index);
    const bool in_first = contains(equation.operands[0], index);
    if (in_first == contains(equation.operands[1], index)) continue;
    m.left = in_first ? 1 : 0;  // b is the operand that has the last free index
    m.right = 1 - m.left;
  }
  // A vector is b, as it is packed for every product.
  const auto is_free = [&](int index) { return !contains(equation.operands[m.right], index); };
  if (std::none_of(order.begin(), order.end(), is_free)) std::swap(m.left, m.right);
  const EinsumIndices& a = equation.operands[m.left];
  const EinsumIndices& b = equation.operands[m.right];
  for (int index : equation.summed)
    if (equation.extent(index) != 1 && !(contains(a, index) && contains(b, index)))
      return std::nullopt;
  for (int index : a)
    if (equation.extent(index) != 1 && contains(equation.summed, index) &&
        !contains(m.depth, index))
      m.depth.push_back(index);
  if (split_in_place(equation, order, m)) return m;
  m.batch.clear(), m.rows.clear(), m.columns.clear();
  for (int index : order)
    (!contains(b, index) ? m.rows : !contains(a, index) ? m.columns : m.batch).push_back(index);
  return m;
}

// Operand `operand` in the order of these groups of indices.
Permutation permutation_of(const EinsumEquation& equation, const Shape& shape, size_t operand,
                           std::initializer_list<const EinsumIndices*> groups) {
  EinsumIndices order;
  for (const EinsumIndices* group : groups) order.insert(order.end(), group->begin(), group->end());
  Permutation permutation;
  for (auto index = order.rbegin(); index != order.rend(); ++index)
    permutation.add(equation.extent(*index), equation.stride(shape, operand, *index));
  return permutation;
}

// An operand as the product reads it: [own, rows, depth], or with `transposed` [own, depth, rows].
struct Layout {
  EinsumIndices own;  // the batch's indices that move it, in its own order
  bool transposed = false;
  bool moves = false;
  Permutation permutation;
};

Layout layout_of(const EinsumEquation& equation, const Shape& shape, size_t operand,
                 const Matrices& m, const EinsumIndices& rows) {
  Layout layout;
  for (int index : equation.operands[operand])
    if (contains(m.batch, index) && !contains(layout.own, index) &&
        equation.stride(shape, operand, index) != 0)
      layout.own.push_back(index);
  for (const bool transposed : {false, true}) {
    layout.transposed = transposed;
    layout.permutation =
        transposed ? permutation_of(equation, shape, operand, {&layout.own, &m.depth, &rows})
                   : permutation_of(equation, shape, operand, {&layout.own, &rows, &m.depth});
    if (layout.permutation.keeps_order()) return layout;
  }
  layout.transposed = false;
  layout.moves = true;
  layout.permutation = permutation_of(equation, shape, operand, {&layout.own, &rows, &m.depth});
  return layout;
}

// Where an operand's matrix starts for each of the batch.
std::vector<int64_t> starts(const EinsumEquation& equation, const EinsumIndices& own,
                            const EinsumIndices& batch, int64_t matrix) {
  std::vector<int64_t> strides;
  for (int index : batch) {
    const auto place = std::find(own.begin(), own.end(), index);
    strides.push_back(place == own.end() ? 0 : matrix * equation.elements({place + 1, own.end()}));
  }
  std::vector<int64_t> result(static_cast<size_t>(equation.elements(batch)), 0);
  for (size_t i = 0; i < result.size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    for (size_t axis = batch.size(); axis-- > 0;) {
      result[i] += rest % equation.extent(batch[axis]) * strides[axis];
      rest /= equation.extent(batch[axis]);
    }
  }
  return result;
}

// The product's own plan within that of the node: its inputs may have been permuted.
class ProductPlan final : public PlanContext {
 public:
  ProductPlan(PlanContext& outer, const NodeView& view)
      : PlanContext(view, outer.kernels(), outer.threads()), outer_(outer) {}

  StepFunction function() const { return function_; }
  const std::shared_ptr<const void>& parameters() const { return parameters_; }
  size_t scratch_bytes() const { return scratch_; }

 private:
  std::shared_ptr<const void> find_or_make(
      std::string_view tag, const std::function<std::shared_ptr<const void>()>& make) override {
    return *outer_.shared<std::shared_ptr<const void>>(tag, make);
  }
  std::shared_ptr<const Tensor> find_or_make_tensor(std::string_view tag, const TensorType& type,
                                                    const std::function<Tensor()>& make) override {
    return outer_.shared_tensor(tag, type, make);
  }

  PlanContext& outer_;
};

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

struct Step {
  StepFunction product = nullptr;
  std::shared_ptr<const void> parameters{};
  size_t left, right;
  Permutation a, b, y;
  bool move_a, move_b, move_y = false;
  size_t a_offset = 0, b_offset = 0, y_offset = 0, product_offset = 0, product_stride = 0;
};

void run(const Step& step, const StepArgs& args) {
  const auto place = [&](size_t offset) { return reinterpret_cast<float*>(args.scratch + offset); };
  void* operands[2] = {args.inputs[step.left], args.inputs[step.right]};
  void* result = args.outputs[0];
  if (step.move_a) {
    step.a.run(static_cast<const float*>(operands[0]), place(step.a_offset), *args.workers);
    operands[0] = place(step.a_offset);
  }
  if (step.move_b) {
    step.b.run(static_cast<const float*>(operands[1]), place(step.b_offset), *args.workers);
    operands[1] = place(step.b_offset);
  }
  if (step.move_y) result = place(step.y_offset);
  step.product(step.parameters.get(), {.inputs = operands,
                                       .outputs = &result,
                                       .scratch = args.scratch + step.product_offset,
                                       .scratch_stride = step.product_stride,
                                       .workers = args.workers});
  if (step.move_y)
    step.y.run(place(step.y_offset), static_cast<float*>(args.outputs[0]), *args.workers);
}

// The result from [batch, rows, columns] to the output's order.
Permutation result_permutation(const EinsumEquation& equation, const Matrices& m) {
  EinsumIndices made = m.batch;
  made.insert(made.end(), m.rows.begin(), m.rows.end());
  made.insert(made.end(), m.columns.begin(), m.columns.end());
  Permutation permutation;
  for (auto index = equation.output.rbegin(); index != equation.output.rend(); ++index) {
    const auto place = std::find(made.begin(), made.end(), *index);
    if (place != made.end())
      permutation.add(equation.extent(*index), equation.elements({place + 1, made.end()}));
  }
  return permutation;
}

// The product as a node of its own, whose second input is constant where the operand is and does
// not move.
void plan_inner(PlanContext& context, const Product& product, bool constant_b, Step& step,
                size_t& scratch) {
  const TensorType* inputs[2] = {&context.input(step.left), &context.input(step.right)};
  const void* known[2] = {nullptr, constant_b ? context.constant(step.right).raw() : nullptr};
  TensorType output = context.output(0);
  Node node = context.node();
  node.inputs = {kNoValue, constant_b ? context.node().inputs[step.right] : kNoValue};
  ProductPlan inner(context, {.graph = context.graph(),
                              .node = node,
                              .inputs = inputs,
                              .known = known,
                              .outputs = {&output, 1}});
  plan_product(inner, product);
  step.product = inner.function();
  step.parameters = inner.parameters();
  scratch = inner.scratch_bytes();
}

bool fits(const Permutation& permutation) {
  return permutation.elements <= static_cast<int64_t>(kMaxTensorBytes / sizeof(float));
}

}  // namespace

bool plan_einsum_product(PlanContext& context, const EinsumEquation& equation) {
  const std::optional<Matrices> m = matrices_of(equation);
  if (!m || m->depth.empty()) return false;
  const Layout a = layout_of(equation, context.input(m->left).shape, m->left, *m, m->rows);
  const Layout b = layout_of(equation, context.input(m->right).shape, m->right, *m, m->columns);
  Product product{.rows = equation.elements(m->rows),
                  .columns = equation.elements(m->columns),
                  .depth = equation.elements(m->depth),
                  .a_transposed = a.transposed,
                  .b_transposed = !b.transposed};
  if (product.rows * product.columns * product.depth < kLeastProduct ||
      equation.elements(m->batch) > kMaxProducts || !fits(a.permutation) || !fits(b.permutation))
    return false;
  product.a = starts(equation, a.own, m->batch, product.rows * product.depth);
  product.b = starts(equation, b.own, m->batch, product.columns * product.depth);
  Step step{.left = m->left,
            .right = m->right,
            .a = a.permutation,
            .b = b.permutation,
            .y = result_permutation(equation, *m),
            .move_a = a.moves,
            .move_b = b.moves};
  step.move_y = !step.y.keeps_order();
  size_t inner_scratch = 0;
  plan_inner(context, product, !b.moves && context.is_constant(m->right), step, inner_scratch);
  if (step.product == nullptr) return false;
  // What moves lies at the beginning of scratch, which is all threads' together; then comes the
  // product's scratch, per thread.
  size_t bytes = 0;
  const auto reserve = [&](bool moves, const Permutation& permutation) {
    const size_t offset = bytes;
    if (moves) bytes += aligned(static_cast<size_t>(permutation.elements) * sizeof(float));
    return offset;
  };
  step.a_offset = reserve(step.move_a, step.a);
  step.b_offset = reserve(step.move_b, step.b);
  step.y_offset = reserve(step.move_y, step.y);
  step.product_offset = bytes;
  step.product_stride = aligned(inner_scratch);
  const auto threads = static_cast<size_t>(context.threads());
  context.scratch((bytes + threads * step.product_stride + threads - 1) / threads);
  context.emit(run, std::move(step));
  return true;
}

}  // namespace sanderling
