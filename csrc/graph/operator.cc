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
  return *inputs_[i];
}

const Tensor& InferContext::constant(size_t i) const {
  input(i);
  const Tensor* tensor = graph_.constant(node_.inputs[i]);
  if (!tensor)
    unsupported("input ", i, " ('", graph_.value(node_.inputs[i]).name,
                "') must be a constant here. Export the model with constant folding, or use the "
                "onnxruntime backend");
  return *tensor;
}

const Quantization& InferContext::input_quantization(size_t i) const {
  const auto& quantization = graph_.value(node_.inputs[i]).quantization;
  SANDERLING_ASSERT(quantization.has_value(), node_.op, " input ", i);
  return *quantization;
}

const Quantization& InferContext::output_quantization(size_t i) const {
  const auto& quantization = graph_.value(node_.outputs[i]).quantization;
  SANDERLING_ASSERT(quantization.has_value(), node_.op, " output ", i);
  return *quantization;
}

const std::optional<Quantization>& InferContext::quantization_of_output(size_t i) const {
  return graph_.value(node_.outputs[i]).quantization;
}

void InferContext::set_output(size_t i, DType dtype, Shape shape) {
  if (i < outputs_.size()) outputs_[i] = {dtype, std::move(shape)};
}

const Operator* find_operator(std::string_view name) {
  const auto it = registry().find(name);
  return it == registry().end() ? nullptr : &it->second;
}

void infer_types(const Operator& op, InferContext& context) {
  try {
    op.infer(context);
  } catch (const Error& problem) {
    const bool named = std::string_view(problem.what()).starts_with(cat("[", op.name, "]"));
    const bool from_shape_or_attribute =
        problem.code() == ErrorCode::kInput || problem.code() == ErrorCode::kModel;
    if (named || !from_shape_or_attribute) throw;
    context.error(problem.what());
  }
  for (size_t i = 0; i < context.outputs(); ++i)
    if (const TensorType& type = context.output_type(i);
        type.shape.elements() > static_cast<int64_t>(kMaxTensorBytes / size_of(type.dtype)))
      context.error("output ", i, " would be ", type.to_string(), ", more than the limit of ",
                    kMaxTensorBytes, " bytes. Check the shapes");
}

std::vector<std::string_view> operator_names() {
  std::vector<std::string_view> names;
  for (const auto& [name, op] : registry()) names.push_back(name);
  return names;
}

RegisterOperator::RegisterOperator(const Operator& op) { registry()[op.name] = op; }

}  // namespace sanderling
