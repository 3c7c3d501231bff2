// Each file of this room binds one idea; module.cc calls them all.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "core/tensor.h"

namespace sanderling {

void bind_batcher(pybind11::module_& m);
void bind_drift(pybind11::module_& m);
void bind_model(pybind11::module_& m);
void bind_quantize(pybind11::module_& m);
void bind_session(pybind11::module_& m);

// NumPy's dtype for ours, and back; an array of any other dtype is a kInput error that names it.
pybind11::dtype numpy_dtype(DType dtype);
DType dtype_of_array(const pybind11::array& array, const std::string& what);

// A borrowed view of a C-contiguous array; kInput if it is not, or (writable) if it is read-only.
TensorView view_of(const pybind11::array& array, const std::string& what, bool writable = false);

}  // namespace sanderling
