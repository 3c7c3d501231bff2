// Each file of this room binds one idea; module.cc calls them all.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <exception>
#include <optional>
#include <string>
#include <string_view>

#include "core/tensor.h"

namespace sanderling {

void bind_batcher(pybind11::module_& m);
void bind_drift(pybind11::module_& m);
void bind_input_check(pybind11::module_& m);
void bind_model(pybind11::module_& m);
void bind_plan(pybind11::module_& m);
void bind_quantize(pybind11::module_& m);
void bind_registry(pybind11::module_& m);
void bind_session(pybind11::module_& m);

// Teaches pybind11 the classes of sanderling.errors.
void register_errors();
// The Python exception that stands for a caught C++ one. Needs the GIL.
pybind11::object python_error(const std::exception_ptr& pointer);
// Throws Error if the Python exception is one of ours, so that C++ can tell its code; else returns.
void rethrow_as_core_error(const pybind11::error_already_set& error);

// What a message calls an array: "input 'x'". Made without allocation, since it is rarely needed.
struct ArrayName {
  ArrayName(const char* role, std::string_view name = {}) : role(role), name(name) {}
  std::string to_string() const;

  std::string_view role;
  std::string_view name;
};

// NumPy's dtype for ours, and back: nothing for another dtype or byte order.
pybind11::dtype numpy_dtype(DType dtype);
std::optional<DType> find_dtype(const pybind11::array& array);
// The dtype that NumPy calls `name`; kUnsupported if tensors of the engine cannot have it.
DType known_dtype(std::string_view name, std::string_view of_what);

// What the engine reads: C-contiguous and aligned arrays.
constexpr int kPlainFlags =
    int{pybind11::array::c_style} | int{pybind11::detail::npy_api::NPY_ARRAY_ALIGNED_};
bool is_plain(const pybind11::array& array);
// A borrowed view of a plain array; kInput if it is not, if (writable) it is read-only, or if the
// engine does not have its dtype.
TensorView view_of(const pybind11::array& array, const ArrayName& what, bool writable = false);

}  // namespace sanderling
