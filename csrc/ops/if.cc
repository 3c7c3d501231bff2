#include "ops/node_checks.h"
#include "ops/subgraphs.h"

namespace sanderling {
namespace {

const char* branch_of(bool condition) { return condition ? "then_branch" : "else_branch"; }

bool condition(const InferContext& context) { return context.constant(0).data<bool>()[0]; }

void check_condition(const InferContext& context) {
  require_dtype(context, 0, {DType::kBool});
  require_one_element(context, 0, "the condition");
}

std::vector<TensorType> types_of(InferContext& context, const char* branch) {
  std::vector<TensorType> inputs;
  for (size_t i : context.captures(branch)) inputs.push_back(context.input(i));
  const std::vector<TensorType>* const types = context.body(branch).output_types(inputs);
  if (!types) context.needs_values();
  if (types->size() < context.outputs())
    context.error("has ", context.outputs(), " outputs, its ", branch, " gives ", types->size());
  return *types;
}

// Types of a branch that may not be the one that runs: for these inputs it may be meaningless (a
// model may choose between branches for different lengths), which is an error only if it runs.
std::vector<TensorType> types_if_possible(InferContext& context, const char* branch) {
  context.body(branch);  // that there is none is always an error
  try {
    return types_of(context, branch);
  } catch (const Error& problem) {
    if (problem.code() == ErrorCode::kModel) context.needs_values();
    throw;
  }
}

// What both branches give, where it is not known which will run and their types are the same.
std::vector<TensorType> common_types(InferContext& context) {
  const std::vector<TensorType> types = types_if_possible(context, branch_of(true));
  const std::vector<TensorType> others = types_if_possible(context, branch_of(false));
  if (!std::equal(types.begin(), types.begin() + static_cast<ptrdiff_t>(context.outputs()),
                  others.begin()))
    context.needs_values();
  return types;
}

void infer(InferContext& context) {
  check_condition(context);
  const std::vector<TensorType> types = context.is_known(0)
                                            ? types_of(context, branch_of(condition(context)))
                                            : common_types(context);
  for (size_t i = 0; i < context.outputs(); ++i)
    context.set_output(i, types[i].dtype, types[i].shape);
}

void compute(ComputeContext& context) {
  check_condition(context);
  const char* const branch = branch_of(condition(context));
  std::vector<TensorView> inputs;
  add_captures(context, branch, inputs);
  const std::span<const TensorView> results = context.body(branch).run(inputs, context.workers());
  if (results.size() < context.outputs())
    context.error("has ", context.outputs(), " outputs, its ", branch, " gives ", results.size());
  for (size_t i = 0; i < context.outputs(); ++i) give(context, i, results[i]);
}

SANDERLING_OPERATOR(if)({.name = "If",
                         .since_opset = 1,
                         .max_outputs = std::numeric_limits<size_t>::max(),
                         .infer = infer,
                         .compute = compute});

}  // namespace
}  // namespace sanderling
