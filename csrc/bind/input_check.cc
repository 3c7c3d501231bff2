#include "bind/input_check.h"

#include <pybind11/stl.h>

#include "bind/bind.h"
#include "kernels/table.h"

namespace py = pybind11;

namespace sanderling {
namespace {

InputSpec spec_of(const BoundSpec& bound) {
  const auto& [name, dtype, shape] = bound;
  InputSpec spec{name, known_dtype(dtype, cat("input '", name, "'")), {}, {}, false};
  for (const auto& dim : shape) {
    const auto* const extent = dim ? std::get_if<int64_t>(&*dim) : nullptr;
    const auto* const symbol = dim ? std::get_if<std::string>(&*dim) : nullptr;
    spec.dims.push_back(extent ? *extent : -1);
    spec.symbols.push_back(symbol ? *symbol : "");
  }
  return spec;
}

}  // namespace

InputCheck make_input_check(const std::vector<BoundSpec>& bound) {
  std::vector<InputSpec> specs;
  for (const BoundSpec& spec : bound) specs.push_back(spec_of(spec));
  return {std::move(specs), *runnable_tables().back()};
}

std::vector<TensorView> input_views(const InputCheck& check, const std::vector<py::array>& arrays) {
  const std::vector<InputSpec>& specs = check.specs();
  if (arrays.size() != specs.size())
    fail(ErrorCode::kInput, "[run] got ", arrays.size(), " inputs, the model has ", specs.size());
  std::vector<TensorView> views;
  views.reserve(arrays.size());
  for (size_t i = 0; i < arrays.size(); ++i) {
    const py::array& array = arrays[i];
    if (!find_dtype(array))
      fail(ErrorCode::kInput, "[run] input '", specs[i].name, "' is ",
           py::str(array.dtype()).cast<std::string>(),
           Shape({array.shape(), array.shape() + array.ndim()}).to_string(), ", the model expects ",
           check.expected(i), ". Convert it with .astype('", name_of(specs[i].dtype), "')");
    views.push_back(view_of(array, {"input", specs[i].name}));
  }
  return views;
}

void bind_input_check(py::module_& m) {
  py::class_<InputCheck>(m, "InputCheck",
                         "Whether arrays fit a model's inputs, in the words of the native engine.")
      .def(py::init(&make_input_check), py::arg("specs"),
           "specs: (name, dtype, shape) per input; a string or None in a shape is free.")
      .def(
          "check",
          [](const InputCheck& check, const std::vector<py::array>& arrays) {
            const std::vector<TensorView> views = input_views(check, arrays);
            check.check_types(views);
            check.check_values(views);
          },
          py::arg("arrays"), "Raises InputError as Session.run does.");
}

}  // namespace sanderling
