#include <array>

#include "bind/bind.h"

namespace py = pybind11;

namespace sanderling {
namespace {

constexpr const char* kSupported =
    "bool, integers and floats of 8 to 64 bits, and the types of ml_dtypes";

// NumPy's own dtypes; the others are ml_dtypes', which registers them when it is imported.
struct Native {
  DType dtype;
  char kind;
  int number;
};
using Api = py::detail::npy_api;
constexpr int kNumpyHalf = 23;  // NPY_HALF, which pybind11 does not name
constexpr std::array<Native, 12> kNative{{{DType::kFloat32, 'f', Api::NPY_FLOAT_},
                                          {DType::kFloat64, 'f', Api::NPY_DOUBLE_},
                                          {DType::kFloat16, 'f', kNumpyHalf},
                                          {DType::kUInt8, 'u', Api::NPY_UINT8_},
                                          {DType::kUInt16, 'u', Api::NPY_UINT16_},
                                          {DType::kUInt32, 'u', Api::NPY_UINT32_},
                                          {DType::kUInt64, 'u', Api::NPY_UINT64_},
                                          {DType::kInt8, 'i', Api::NPY_INT8_},
                                          {DType::kInt16, 'i', Api::NPY_INT16_},
                                          {DType::kInt32, 'i', Api::NPY_INT32_},
                                          {DType::kInt64, 'i', Api::NPY_INT64_},
                                          {DType::kBool, 'b', Api::NPY_BOOL_}}};

py::dtype ml_dtype(DType dtype) {
  try {
    const py::module_ ml_dtypes = py::module_::import("ml_dtypes");
    return py::dtype::from_args(ml_dtypes.attr(std::string(name_of(dtype)).c_str()));
  } catch (const py::error_already_set&) {
    fail(ErrorCode::kUnsupported, "[array] NumPy has no ", name_of(dtype),
         " of its own. Install ml_dtypes, which has");
  }
}

}  // namespace

std::string ArrayName::to_string() const {
  return name.empty() ? std::string(role) : cat(role, " '", name, "'");
}

py::dtype numpy_dtype(DType dtype) {
  for (const Native& native : kNative)
    if (native.dtype == dtype) return py::dtype(native.number);
  return ml_dtype(dtype);
}

std::optional<DType> find_dtype(const py::array& array) {
  const py::dtype dtype = array.dtype();
  if (dtype.byteorder() == '>') return std::nullopt;
  const char kind = dtype.kind();
  const auto bytes = static_cast<size_t>(dtype.itemsize());
  for (const Native& native : kNative)
    if (kind == native.kind && bytes == size_of(native.dtype) &&
        dtype.num() == py::dtype(native.number).num())
      return native.dtype;
  const std::optional<DType> named = dtype_named(py::str(dtype.attr("name")).cast<std::string>());
  return named && size_of(*named) == bytes ? named : std::nullopt;
}

DType known_dtype(std::string_view name, std::string_view of_what) {
  if (const std::optional<DType> dtype = dtype_named(name)) return *dtype;
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
