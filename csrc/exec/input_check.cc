#include "exec/input_check.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>

#include "graph/operator.h"
#include "kernels/table.h"

namespace sanderling {
namespace {

bool fits(const InputSpec& spec, const TensorType& type) {
  if (type.dtype != spec.dtype || type.shape.rank() != static_cast<int64_t>(spec.dims.size()))
    return false;
  for (size_t d = 0; d < spec.dims.size(); ++d)
    if (spec.dims[d] >= 0 && spec.dims[d] != type.shape[static_cast<int64_t>(d)]) return false;
  return true;
}

// The element type of a value where the file says it.
std::optional<DType> stated_type(const Graph& graph, const Uses& uses, ValueId id) {
  if (const Tensor* constant = graph.constant(id)) return constant->dtype();
  for (const GraphInput& input : graph.inputs)
    if (input.value == id) return input.dtype;
  const int producer = uses.producer(id);
  if (producer < 0 || graph.nodes[static_cast<size_t>(producer)].op != "Cast") return std::nullopt;
  return dtype_of_onnx_number(
      graph.nodes[static_cast<size_t>(producer)].attributes.integer("to", 0));
}

bool is_cast_to_float(const Graph& graph, const Uses& uses, const Node& node) {
  std::optional<DType> to;
  if (node.op == "Cast") to = stated_type(graph, uses, node.outputs[0]);
  if (node.op == "CastLike") to = stated_type(graph, uses, node.inputs[1]);
  return to && is_float(*to);
}

// Whether a NaN of this value may end in an answer that looks like any other. It may not where all
// that reads the value keeps the NaN in its place, is about it (Operator::nan) or reads its type
// alone.
bool can_hide_nan(const Graph& graph, const Uses& uses, ValueId id) {
  std::vector<ValueId> left{id};
  std::vector<bool> seen(graph.values.size(), false);
  while (!left.empty()) {
    const ValueId value = left.back();
    left.pop_back();
    if (seen[static_cast<size_t>(value)]) continue;
    seen[static_cast<size_t>(value)] = true;
    for (int reader : uses.readers(value)) {
      const Node& node = graph.nodes[static_cast<size_t>(reader)];
      const Operator* const op = find_operator(node.op);
      SANDERLING_ASSERT(op != nullptr, node.op);
      const bool keeps =
          op->nan == NanRule::kKeeps || op->view || is_cast_to_float(graph, uses, node);
      if (op->nan == NanRule::kMeans || op->from_types) continue;
      if (!keeps) return true;
      for (ValueId output : node.outputs)
        if (output != kNoValue) left.push_back(output);
    }
  }
  return false;
}

// The types that ONNX's operators take axes, sizes and indices in.
bool is_list(const InputSpec& spec) {
  return spec.dims.size() == 1 && (spec.dtype == DType::kInt32 || spec.dtype == DType::kInt64);
}

std::vector<InputSpec> specs_of(const Graph& graph) {
  std::vector<InputSpec> specs;
  for (const GraphInput& input : graph.inputs)
    specs.push_back({graph.value(input.value).name, input.dtype, input.dims, input.symbols, false});
  return specs;
}

}  // namespace

InputCheck::InputCheck(std::vector<InputSpec> specs, const KernelTable& kernels)
    : specs_(std::move(specs)), kernels_(kernels) {
  std::map<std::string_view, std::pair<size_t, size_t>> first;
  for (size_t i = 0; i < specs_.size(); ++i) {
    for (size_t d = 0; d < specs_[i].dims.size(); ++d) {
      if (specs_[i].dims[d] >= 0 || specs_[i].symbols[d].empty()) continue;
      const auto [found, added] = first.try_emplace(specs_[i].symbols[d], i, d);
      if (!added) same_extents_.push_back({i, d, found->second.first, found->second.second});
    }
  }
}

InputCheck::InputCheck(const Graph& graph, const KernelTable& kernels)
    : InputCheck(specs_of(graph), kernels) {
  const Uses uses(graph);
  for (size_t i = 0; i < specs_.size(); ++i)
    specs_[i].takes_nan = !can_hide_nan(graph, uses, graph.inputs[i].value);
}

std::string InputCheck::expected(size_t input) const {
  const InputSpec& spec = specs_[input];
  std::string text = cat(name_of(spec.dtype), "[");
  for (size_t d = 0; d < spec.dims.size(); ++d) {
    text += d == 0 ? "" : ", ";
    if (spec.dims[d] >= 0)
      text += std::to_string(spec.dims[d]);
    else
      text += spec.symbols[d].empty() ? "?" : spec.symbols[d];
  }
  return text + "]";
}

void InputCheck::check_types(std::span<const TensorView> inputs) const {
  if (inputs.size() != specs_.size())
    fail(ErrorCode::kInput, "[run] got ", inputs.size(), " inputs, the model has ", specs_.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const InputSpec& spec = specs_[i];
    const TensorType& type = inputs[i].type;
    if (!fits(spec, type)) {
      const bool cast = type.dtype != spec.dtype;
      fail(ErrorCode::kInput, "[run] input '", spec.name, "' is ", type.to_string(),
           ", the model expects ", expected(i),
           cast ? cat(". Convert it with .astype('", name_of(spec.dtype), "')") : "");
    }
    if (!spec.dims.empty() && spec.dims[0] < 0 && !is_list(spec)) require_rows(i, type);
  }
  check_symbols(inputs);
}

void InputCheck::require_rows(size_t input, const TensorType& type) const {
  if (type.shape[0] == 0)
    fail(ErrorCode::kInput, "[run] input '", specs_[input].name, "' is empty: ", type.to_string(),
         ". Pass at least one row");
}

void InputCheck::check_symbols(std::span<const TensorView> inputs) const {
  const auto extent = [&](size_t input, size_t dim) {
    return inputs[input].type.shape[static_cast<int64_t>(dim)];
  };
  for (const SameExtent& same : same_extents_) {
    const int64_t first = extent(same.first_input, same.first_dim);
    if (extent(same.input, same.dim) == first) continue;
    const InputSpec& spec = specs_[same.input];
    fail(ErrorCode::kInput, "[run] input '", spec.name, "' is ",
         inputs[same.input].type.to_string(), ", the model expects ", expected(same.input), " and ",
         spec.symbols[same.dim], " is ", first, " in input '", specs_[same.first_input].name, "'");
  }
}

void InputCheck::check_values(std::span<const TensorView> inputs) const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (specs_[i].takes_nan) continue;
    const int64_t count = inputs[i].type.shape.elements();
    const int64_t nans = count_nan(inputs[i]);
    if (nans != 0)
      fail(ErrorCode::kInput, "[run] input '", specs_[i].name, "' has ", nans, " NaN among ", count,
           " values. Replace missing values before inference, e.g. with numpy.nan_to_num");
  }
}

int64_t InputCheck::count_nan(const TensorView& input) const {
  const int64_t count = input.type.shape.elements();
  const auto count_if = [&](const auto* x, const auto& is_nan) {
    return static_cast<int64_t>(std::count_if(x, x + count, is_nan));
  };
  switch (input.type.dtype) {
    case DType::kFloat32:
      return kernels_.count_nan_f32(input.as<float>(), count);
    case DType::kFloat64:
      return count_if(input.as<double>(), [](double x) { return std::isnan(x); });
    case DType::kFloat16:
      return count_if(input.as<Float16>(), [](Float16 x) { return (x.bits & 0x7fff) > 0x7c00; });
    case DType::kBFloat16:
      return count_if(input.as<BFloat16>(), [](BFloat16 x) { return (x.bits & 0x7fff) > 0x7f80; });
    default:
      return 0;
  }
}

bool InputCheck::has_nan(std::span<const TensorView> inputs) const {
  return std::any_of(inputs.begin(), inputs.end(),
                     [&](const TensorView& input) { return count_nan(input) != 0; });
}

}  // namespace sanderling
