#include "bind/bind.h"
#include "core/error.h"

namespace py = pybind11;

namespace sanderling {
namespace {

const char* class_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kModel:
      return "ModelError";
    case ErrorCode::kInput:
      return "InputError";
    case ErrorCode::kUnsupported:
      return "UnsupportedError";
    case ErrorCode::kInternal:
      return "InternalError";
  }
  return "InternalError";
}

}  // namespace
}  // namespace sanderling

PYBIND11_MODULE(_core, m) {
  using namespace sanderling;
  m.doc() = "The C++ core of Sanderling. Private: use the names in `sanderling`.";
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      const py::object type = py::module_::import("sanderling.errors").attr(class_of(error.code()));
      py::set_error(type, error.what());
    }
  });
  bind_drift(m);
  bind_model(m);
  bind_quantize(m);
  bind_session(m);
}
