#include <array>

#include "bind/bind.h"

namespace py = pybind11;

namespace sanderling {
namespace {

constexpr std::array kDTypes{DType::kFloat32, DType::kFloat64, DType::kUInt8, DType::kInt8,
                             DType::kInt32,   DType::kInt64,   DType::kBool};

constexpr const char* kSupported = "float32, float64, uint8, int8, int32, int64 and bool";

// NumPy's character for the kind of a dtype.
constexpr char kind_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
    case DType::kFloat64:
      return 'f';
    case DType::kUInt8:
      return 'u';
    case DType::kBool:
      return 'b';
    default:
      return 'i';
  }
}

int number_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return py::detail::npy_api::NPY_FLOAT_;
    case DType::kFloat64:
      return py::detail::npy_api::NPY_DOUBLE_;
    case DType::kUInt8:
      return py::detail::npy_api::NPY_UINT8_;
    case DType::kInt8:
      return py::detail::npy_api::NPY_INT8_;
    case DType::kInt32:
      return py::detail::npy_api::NPY_INT32_;
    case DType::kInt64:
      return py::detail::npy_api::NPY_INT64_;
    case DType::kBool:
      return py::detail::npy_api::NPY_BOOL_;
  }
  return -1;
}

}  // namespace

std::string ArrayName::to_string() const {
  return name.empty() ? std::string(role) : cat(role, " '", name, "'");
}

py::dtype numpy_dtype(DType dtype) { return py::dtype(number_of(dtype)); }

std::optional<DType> find_dtype(const py::array& array) {
  const py::dtype dtype = array.dtype();
  const char kind = dtype.kind();
  const auto bytes = static_cast<size_t>(dtype.itemsize());
  if (dtype.byteorder() == '>') return std::nullopt;
  for (DType candidate : kDTypes)
    if (kind == kind_of(candidate) && bytes == size_of(candidate)) return candidate;
  return std::nullopt;
}

DType dtype_named(std::string_view name, std::string_view of_what) {
  for (DType dtype : kDTypes)
    if (name_of(dtype) == name) return dtype;
  fail(ErrorCode::kUnsupported, "[array] ", of_what, " is ", name, ", supported are ", kSupported);
}

bool is_plain(const py::array& array) { return (array.flags() & kPlainFlags) == kPlainFlags; }

TensorView view_of(const py::array& array, const ArrayName& what, bool writable) {
  const std::optional<DType> dtype = find_dtype(array);
  if (!dtype)
    fail(ErrorCode::kInput, "[array] ", what.to_string(), " has dtype ",
         py::str(array.dtype()).cast<std::string>(), ", supported are ", kSupported,
         " in native byte order");
  if (!is_plain(array))
    fail(ErrorCode::kInput, "[array] ", what.to_string(),
         " is not C-contiguous and aligned. Pass array.copy()");
  if (writable && !array.writeable())
    fail(ErrorCode::kInput, "[array] ", what.to_string(), " is read-only");
  return {{*dtype, Shape(std::vector<int64_t>(array.shape(), array.shape() + array.ndim()))},
          const_cast<void*>(array.data())};
}

}  // namespace sanderling
