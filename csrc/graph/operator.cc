#include "graph/operator.h"

#include <map>

namespace sanderling {
namespace {

std::map<std::string_view, Operator>& registry() {
  static std::map<std::string_view, Operator> operators;
  return operators;
}

}  // namespace

const TensorType& InferContext::input(size_t i) const {
  if (!has_input(i)) error("input ", i, " is required and missing");
  return *view_.inputs[i];
}

KnownTensor InferContext::constant(size_t i) const {
  const TensorType& type = input(i);
  if (!is_known(i))
    throw NeedsValue(cat("[", node().op, "] node '", node().name, "' (opset ", node().opset,
                         "): input ", i, " ('", view_.graph.value(node().inputs[i]).name,
                         "') must be a constant here. Export the model with constant folding, or "
                         "use the onnxruntime backend"));
  return {type, view_.known[i]};
}

void InferContext::needs_values() const {
  throw NeedsValue(cat("[", node().op, "] node '", node().name, "' (opset ", node().opset,
                       "): what comes out is known only when it is computed, which cannot be done "
                       "here. Use the onnxruntime backend"));
}

namespace {

size_t subgraph_index(const InferContext& context, std::string_view attribute) {
  const std::vector<Subgraph>& subgraphs = context.node().subgraphs;
  for (size_t i = 0; i < subgraphs.size(); ++i)
    if (subgraphs[i].attribute == attribute) return i;
  context.error("has no subgraph '", attribute, "'");
}

}  // namespace

Body& InferContext::body(std::string_view attribute) const {
  const size_t i = subgraph_index(*this, attribute);
  if (i >= view_.bodies.size()) needs_values();
  return *view_.bodies[i];
}

const std::vector<size_t>& InferContext::captures(std::string_view attribute) const {
  return node().subgraphs[subgraph_index(*this, attribute)].captures;
}

const Quantization& InferContext::input_quantization(size_t i) const {
  const auto& quantization = view_.graph.value(node().inputs[i]).quantization;
  SANDERLING_ASSERT(quantization.has_value(), node().op, " input ", i);
  return *quantization;
}

const Quantization& InferContext::output_quantization(size_t i) const {
  const auto& quantization = view_.graph.value(node().outputs[i]).quantization;
  SANDERLING_ASSERT(quantization.has_value(), node().op, " output ", i);
  return *quantization;
}

const std::optional<Quantization>& InferContext::quantization_of_output(size_t i) const {
  return view_.graph.value(node().outputs[i]).quantization;
}

void InferContext::set_output(size_t i, DType dtype, Shape shape) {
  if (i < outputs()) view_.outputs[i] = {dtype, std::move(shape)};
}

const Operator* find_operator(std::string_view name) {
  const auto it = registry().find(name);
  return it == registry().end() ? nullptr : &it->second;
}

void infer_types(const Operator& op, InferContext& context) {
  try {
    op.infer(context);
  } catch (const NeedsValue&) {
    throw;
  } catch (const Error& problem) {
    const std::string_view what = problem.what();
    // "[run]": a subgraph that is planned here met a limit of the caller's (exec/runner.h).
    const bool named = what.starts_with(cat("[", op.name, "]")) || what.starts_with("[run]");
    const bool from_shape_or_attribute =
        problem.code() == ErrorCode::kInput || problem.code() == ErrorCode::kModel;
    if (named || !from_shape_or_attribute) throw;
    context.error(problem.what());
  }
  for (size_t i = 0; i < context.outputs(); ++i) check_size(context, i, context.output_type(i));
}

void check_size(const InferContext& context, size_t output, const TensorType& type) {
  if (type.shape.elements() > static_cast<int64_t>(kMaxTensorBytes / size_of(type.dtype)))
    context.error("output ", output, " would be ", type.to_string(), ", more than the limit of ",
                  kMaxTensorBytes, " bytes. Check the shapes");
}

std::vector<std::string_view> operator_names() {
  std::vector<std::string_view> names;
  for (const auto& [name, op] : registry()) names.push_back(name);
  return names;
}

RegisterOperator::RegisterOperator(const Operator& op) { registry()[op.name] = op; }

}  // namespace sanderling
