#include <array>

#include "bind/bind.h"

namespace py = pybind11;

namespace sanderling {
namespace {

constexpr std::array kDTypes{DType::kFloat32, DType::kFloat64, DType::kUInt8, DType::kInt8,
                             DType::kInt32,   DType::kInt64,   DType::kBool};

}  // namespace

py::dtype numpy_dtype(DType dtype) { return py::dtype(std::string(name_of(dtype))); }

DType dtype_of_array(const py::array& array, const std::string& what) {
  const py::dtype dtype = array.dtype();
  const char kind = dtype.kind();
  const auto bytes = static_cast<size_t>(dtype.itemsize());
  if (dtype.byteorder() != '>') {
    for (DType candidate : kDTypes) {
      const char expected = candidate == DType::kFloat32 || candidate == DType::kFloat64 ? 'f'
                            : candidate == DType::kUInt8                                 ? 'u'
                            : candidate == DType::kBool                                  ? 'b'
                                                                                         : 'i';
      if (kind == expected && bytes == size_of(candidate)) return candidate;
    }
  }
  fail(ErrorCode::kInput, "[array] ", what, " has dtype ", py::str(dtype).cast<std::string>(),
       ", supported are float32, float64, uint8, int8, int32, int64 and bool in native byte order");
}

TensorView view_of(const py::array& array, const std::string& what, bool writable) {
  const DType dtype = dtype_of_array(array, what);
  if ((array.flags() & py::array::c_style) == 0)
    fail(ErrorCode::kInput, "[array] ", what, " is not C-contiguous. Pass numpy.ascontiguousarray(array)");
  if (writable && !array.writeable()) fail(ErrorCode::kInput, "[array] ", what, " is read-only");
  std::vector<int64_t> dims(array.shape(), array.shape() + array.ndim());
  return {{dtype, Shape(std::move(dims))}, const_cast<void*>(array.data())};
}

}  // namespace sanderling
