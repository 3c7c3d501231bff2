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
    case ErrorCode::kDeadline:
      return "DeadlineError";
    case ErrorCode::kCancelled:
      return "CancelledError";
  }
  return "InternalError";
}

py::object error_class(ErrorCode code) {
  return py::module_::import("sanderling.errors").attr(class_of(code));
}

}  // namespace

void register_errors() {
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      py::set_error(error_class(error.code()), error.what());
    }
  });
}

py::object python_error(const std::exception_ptr& pointer) {
  try {
    std::rethrow_exception(pointer);
  } catch (const Error& error) {
    return error_class(error.code())(error.what());
  } catch (py::error_already_set& error) {
    return error.value();
  } catch (const std::bad_alloc&) {
    return py::reinterpret_borrow<py::object>(PyExc_MemoryError)("out of memory");
  } catch (const std::exception& error) {
    return error_class(ErrorCode::kInternal)(error.what());
  }
}

void rethrow_as_core_error(const py::error_already_set& error) {
  for (ErrorCode code : {ErrorCode::kInput, ErrorCode::kModel, ErrorCode::kUnsupported})
    if (error.matches(error_class(code))) fail(code, py::str(error.value()).cast<std::string>());
}

}  // namespace sanderling
