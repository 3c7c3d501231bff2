#include "ops/node_checks.h"
#include "ops/subgraphs.h"

namespace sanderling {
namespace {

// Inputs of the node: how often at most, whether to begin, then what one iteration hands to the
// next. Inputs of the body: the iteration, the condition, what is carried; its outputs: the
// condition, what is carried, what is stacked.
constexpr size_t kFirstCarried = 2;
constexpr const char* kBody = "body";
const TensorType kIteration{DType::kInt64, Shape{}};
const TensorType kCondition{DType::kBool, Shape{}};

bool has(const InferContext& context, size_t i) {
  return i < context.formal_inputs() && context.has_input(i);
}

size_t carried(const InferContext& context) {
  return context.formal_inputs() > kFirstCarried ? context.formal_inputs() - kFirstCarried : 0;
}

void check(const InferContext& context) {
  if (has(context, 0)) {
    require_dtype(context, 0, {DType::kInt64});
    require_one_element(context, 0, "the trip count");
  }
  if (has(context, 1)) {
    require_dtype(context, 1, {DType::kBool});
    require_one_element(context, 1, "the condition");
  }
}

// Types of the body's outputs in the first iteration.
const std::vector<TensorType>* first_types(const InferContext& context) {
  std::vector<TensorType> inputs{kIteration, kCondition};
  for (size_t i = 0; i < carried(context); ++i) inputs.push_back(context.input(kFirstCarried + i));
  for (size_t i : context.captures(kBody)) inputs.push_back(context.input(i));
  return context.body(kBody).output_types(inputs);
}

// Known where nothing is stacked and no iteration changes a type.
void infer(InferContext& context) {
  check(context);
  if (context.outputs() > carried(context)) context.needs_values();
  const std::vector<TensorType>* const types = first_types(context);
  if (!types || types->size() <= carried(context)) context.needs_values();
  for (size_t i = 0; i < carried(context); ++i)
    if (!((*types)[1 + i] == context.input(kFirstCarried + i))) context.needs_values();
  for (size_t i = 0; i < context.outputs(); ++i)
    context.set_output(i, (*types)[1 + i].dtype, (*types)[1 + i].shape);
}

// What is carried, in memory of its own: the body's goes with its next run.
class Carried {
 public:
  explicit Carried(std::vector<TensorView> initial)
      : values_(std::move(initial)), now_(values_.size()), next_(values_.size()) {}

  const std::vector<TensorView>& values() const { return values_; }

  void take(ComputeContext& context, std::span<const TensorView> results) {
    for (size_t i = 0; i < values_.size(); ++i) {
      if (!(next_[i].type() == results[i].type) || !next_[i].raw())
        make_next(context, i, results[i].type);
      copy_elements(results[i], next_[i].mutable_raw());
    }
    now_.swap(next_);
    for (size_t i = 0; i < values_.size(); ++i) values_[i] = now_[i].view();
  }

 private:
  void make_next(ComputeContext& context, size_t i, const TensorType& type) {
    used_ += type.bytes() - (next_[i].raw() ? next_[i].type().bytes() : 0);
    if (used_ > held_) {
      context.hold(used_ - held_);
      held_ = used_;
    }
    next_[i] = Tensor(type);
  }

  std::vector<TensorView> values_;
  std::vector<Tensor> now_, next_;
  size_t used_ = 0, held_ = 0;  // bytes now, and the most that there were
};

void give_stack(ComputeContext& context, size_t output, const Stack& stack, size_t body_output) {
  if (!context.has_output(output)) return;
  TensorType element = stack.element();
  if (stack.count() == 0) {  // no iteration says what it would have been
    const std::vector<TensorType>* const types = first_types(context);
    if (types && body_output < types->size()) element = (*types)[body_output];
  }
  std::vector<int64_t> dims = element.shape.dims();
  dims.insert(dims.begin(), stack.count());
  void* const y = context.make_output(output, {element.dtype, Shape(std::move(dims))});
  if (stack.count() > 0)
    copy_elements({{element.dtype, Shape{stack.count() * element.shape.elements()}},
                   const_cast<std::byte*>(stack[0])},
                  y);
}

void compute(ComputeContext& context) {
  check(context);
  const int64_t most = has(context, 0) ? context.constant(0).data<int64_t>()[0]
                                       : std::numeric_limits<int64_t>::max();
  bool condition = !has(context, 1) || context.constant(1).data<bool>()[0];
  int64_t iteration = 0;
  std::vector<TensorView> initial;
  for (size_t i = 0; i < carried(context); ++i) initial.push_back(context.view(kFirstCarried + i));
  Carried values(std::move(initial));
  const size_t stacked =
      context.outputs() > carried(context) ? context.outputs() - carried(context) : 0;
  std::vector<Stack> stacks(stacked);
  std::vector<TensorView> inputs;
  for (; condition && iteration < most; ++iteration) {
    inputs.assign({{kIteration, &iteration}, {kCondition, &condition}});
    inputs.insert(inputs.end(), values.values().begin(), values.values().end());
    add_captures(context, kBody, inputs);
    const std::span<const TensorView> results = context.body(kBody).run(inputs, context.workers());
    if (results.size() < 1 + carried(context) + stacked)
      context.error("has ", context.outputs(), " outputs, its body gives ", results.size(),
                    " with the condition");
    if (results[0].type.dtype != DType::kBool || results[0].type.shape.elements() != 1)
      context.error("its body gives ", results[0].type.to_string(), " as the condition");
    condition = results[0].as<bool>()[0];
    for (size_t i = 0; i < stacked; ++i) stacks[i].add(context, results[1 + carried(context) + i]);
    values.take(context, results.subspan(1));
  }
  for (size_t i = 0; i < carried(context) && i < context.outputs(); ++i)
    give(context, i, values.values()[i]);
  for (size_t i = 0; i < stacked; ++i)
    give_stack(context, carried(context) + i, stacks[i], 1 + carried(context) + i);
}

SANDERLING_OPERATOR(loop)({.name = "Loop",
                           .since_opset = 1,
                           .min_inputs = 0,
                           .max_inputs = std::numeric_limits<size_t>::max(),
                           .max_outputs = std::numeric_limits<size_t>::max(),
                           .infer = infer,
                           .compute = compute});

}  // namespace
}  // namespace sanderling
