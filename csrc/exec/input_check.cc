#include "exec/input_check.h"

#include <map>
#include <string_view>

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

std::vector<InputSpec> specs_of(const Graph& graph) {
  std::vector<InputSpec> specs;
  for (const GraphInput& input : graph.inputs)
    specs.push_back({graph.value(input.value).name, input.dtype, input.dims, input.symbols});
  return specs;
}

}  // namespace

InputCheck::InputCheck(const Graph& graph, const KernelTable& kernels)
    : InputCheck(specs_of(graph), kernels) {}

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
  struct Extent {
    int64_t value;
    std::string_view input;
  };
  std::map<std::string_view, Extent> extents;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const InputSpec& spec = specs_[i];
    const TensorType& type = inputs[i].type;
    if (!fits(spec, type)) {
      const bool cast = type.dtype != spec.dtype;
      fail(ErrorCode::kInput, "[run] input '", spec.name, "' is ", type.to_string(),
           ", the model expects ", expected(i),
           cast ? cat(". Convert it with .astype('", name_of(spec.dtype), "')") : "");
    }
    if (type.shape.elements() == 0)
      fail(ErrorCode::kInput, "[run] input '", spec.name, "' is empty: ", type.to_string(),
           ". Pass at least one row");
    for (size_t d = 0; d < spec.dims.size(); ++d) {
      if (spec.dims[d] >= 0 || spec.symbols[d].empty()) continue;
      const int64_t extent = type.shape[static_cast<int64_t>(d)];
      const auto [found, added] = extents.try_emplace(spec.symbols[d], Extent{extent, spec.name});
      if (found->second.value != extent)
        fail(ErrorCode::kInput, "[run] input '", spec.name, "' is ", type.to_string(),
             ", the model expects ", expected(i), " and ", spec.symbols[d], " is ",
             found->second.value, " in input '", found->second.input, "'");
    }
  }
}

void InputCheck::check_values(std::span<const TensorView> inputs) const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].type.dtype != DType::kFloat32) continue;
    const int64_t count = inputs[i].type.shape.elements();
    const int64_t nans = kernels_.count_nan_f32(inputs[i].as<float>(), count);
    if (nans != 0)
      fail(ErrorCode::kInput, "[run] input '", specs_[i].name, "' has ", nans, " NaN among ", count,
           " values. Replace missing values before inference, e.g. with numpy.nan_to_num");
  }
}

bool InputCheck::has_nan(std::span<const TensorView> inputs) const {
  for (const TensorView& input : inputs)
    if (input.type.dtype == DType::kFloat32 &&
        kernels_.count_nan_f32(input.as<float>(), input.type.shape.elements()) != 0)
      return true;
  return false;
}

}  // namespace sanderling
