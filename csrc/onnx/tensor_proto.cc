#include "onnx/tensor_proto.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "onnx/model.h"

namespace sanderling {
namespace {

static_assert(std::endian::native == std::endian::little, "raw_data is copied as it is");

// Field numbers of TensorProto.
enum TensorField : uint32_t {
  kDims = 1,
  kDataType = 2,
  kSegment = 3,
  kFloatData = 4,
  kInt32Data = 5,
  kStringData = 6,
  kInt64Data = 7,
  kRawData = 9,
  kDoubleData = 10,
  kUint64Data = 11,
  kExternalData = 13,
  kDataLocation = 14,
};

// What the engine has no tensors of, by TensorProto.DataType.
constexpr std::array<std::pair<int64_t, const char*>, 5> kOtherTypes{
    {{8, "string"}, {14, "complex64"}, {15, "complex128"}, {27, "float6e2m3"}, {28, "float6e3m2"}}};

const char* field_name(uint32_t field) {
  switch (field) {
    case kFloatData:
      return "float_data";
    case kInt32Data:
      return "int32_data";
    case kStringData:
      return "string_data";
    case kInt64Data:
      return "int64_data";
    case kRawData:
      return "raw_data";
    case kDoubleData:
      return "double_data";
    case kUint64Data:
      return "uint64_data";
    default:
      return "no data";
  }
}

// The typed field that holds elements of this type when raw_data does not.
uint32_t typed_field(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return kFloatData;
    case DType::kFloat64:
      return kDoubleData;
    case DType::kInt64:
      return kInt64Data;
    case DType::kUInt32:
    case DType::kUInt64:
      return kUint64Data;
    default:
      return kInt32Data;
  }
}

// Bits of one element in the file, where small ones share bytes, the first in the lowest bits.
size_t stored_bits(DType dtype) {
  switch (dtype) {
    case DType::kFloat4E2M1:
    case DType::kUInt4:
    case DType::kInt4:
      return 4;
    case DType::kUInt2:
    case DType::kInt2:
      return 2;
    default:
      return 8 * size_of(dtype);
  }
}

// What the file counts: bytes where elements share them, else elements.
size_t stored_items(DType dtype, size_t elements) {
  return stored_bits(dtype) < 8 ? (elements * stored_bits(dtype) + 7) / 8 : elements;
}

// A first pass over the message: what it claims and how much it holds. It allocates nothing that
// grows with a claim.
struct Summary {
  std::vector<int64_t> dims;
  size_t rank = 0;
  int64_t data_type = 0;
  uint32_t storage = 0;   // the one field that holds elements, 0 if none does
  size_t count = 0;       // of elements there; bytes for raw_data
  bool external = false;  // the elements are in another file
  std::string_view location;
  int64_t offset = 0;
  std::optional<int64_t> length{};
};

class TensorReader {
 public:
  TensorReader(const WireMessage& message, std::string_view what, const ExternalData& external)
      : message_(message), what_(what), external_(external) {}

  Tensor read() {
    const Summary summary = summarize();
    const DType dtype = read_dtype(summary.data_type, what_);
    const Shape shape = checked_shape(summary);
    check_count(summary, dtype, shape);
    Tensor tensor(dtype, shape);
    if (summary.external)
      fill_external(summary, tensor);
    else if (summary.storage != 0)
      fill(summary.storage, tensor);
    return tensor;
  }

 private:
  template <typename... Parts>
  [[noreturn]] void error(const Parts&... parts) const {
    fail(ErrorCode::kModel, "[onnx] ", what_, " ", parts...);
  }

  Summary summarize() const {
    Summary summary;
    WireField field;
    for (WireCursor cursor(message_); cursor.next(field);) {
      switch (field.number()) {
        case kDims:
          field.each_integer([&](int64_t dim) {
            if (++summary.rank <= Shape::kMaxRank) summary.dims.push_back(dim);
          });
          break;
        case kDataType:
          summary.data_type = field.integer();
          break;
        case kSegment:
          fail(ErrorCode::kUnsupported, "[onnx] ", what_,
               " is one segment of a tensor in pieces. Save the model anew with a current version "
               "of onnx");
        case kExternalData:
          summary.external = true;
          read_external_entry(field.message(), summary);
          break;
        case kDataLocation:
          if (field.integer() == 1) summary.external = true;
          break;
        case kFloatData:
          add(summary, field, field.count_fixed(WireType::kFixed32));
          break;
        case kDoubleData:
          add(summary, field, field.count_fixed(WireType::kFixed64));
          break;
        case kInt32Data:
        case kInt64Data:
        case kUint64Data:
          add(summary, field, field.count_integers());
          break;
        case kStringData:
          add(summary, field, 1);
          break;
        case kRawData:
          if (summary.storage == kRawData) error("has raw_data twice");
          add(summary, field, field.bytes().size());
          break;
      }
    }
    return summary;
  }

  void add(Summary& summary, const WireField& field, size_t count) const {
    if (count == 0) return;
    if (summary.storage != 0 && summary.storage != field.number())
      error("stores elements in both ", field_name(summary.storage), " and ",
            field_name(field.number()));
    summary.storage = field.number();
    summary.count += count;
  }

  void read_external_entry(const WireMessage& entry, Summary& summary) const {
    std::string_view key;
    std::string_view value;
    WireField field;
    for (WireCursor cursor(entry); cursor.next(field);) {
      if (field.number() == 1) key = read_name(field);
      if (field.number() == 2) value = read_name(field);
    }
    const auto number = [&] {
      int64_t result = 0;
      const auto [end, problem] =
          std::from_chars(value.data(), value.data() + value.size(), result);
      if (problem != std::errc() || end != value.data() + value.size() || result < 0)
        error("has the ", key, " '", value, "' in another file, expected a number of bytes");
      return result;
    };
    if (key == "location") summary.location = value;
    if (key == "offset") summary.offset = number();
    if (key == "length") summary.length = number();
  }

  void fill_external(const Summary& summary, Tensor& tensor) const {
    const auto elements = static_cast<size_t>(tensor.shape().elements());
    const size_t bytes = (elements * stored_bits(tensor.dtype()) + 7) / 8;
    if (summary.length && static_cast<size_t>(*summary.length) != bytes)
      error("of type ", tensor.type().to_string(), " needs ", bytes, " bytes, in '",
            summary.location, "' it has ", *summary.length);
    std::vector<std::byte> data(bytes);
    external_.read(summary.location, summary.offset, data, what_);
    if (bytes != 0) copy_raw(data, tensor);
  }

  Shape checked_shape(const Summary& summary) const {
    if (summary.rank > Shape::kMaxRank)
      error("has ", summary.rank, " dimensions; the limit is ", Shape::kMaxRank);
    try {
      return Shape(summary.dims);
    } catch (const Error& problem) {
      error("cannot be made: ", problem.what());
    }
  }

  void check_count(const Summary& summary, DType dtype, const Shape& shape) const {
    const auto elements = static_cast<size_t>(shape.elements());
    if (elements * size_of(dtype) > OnnxLimits::kMaxTensorBytes)
      error("has ", elements * size_of(dtype), " bytes; the limit is ",
            OnnxLimits::kMaxTensorBytes);
    if (summary.storage != 0 && summary.storage != kRawData &&
        summary.storage != typed_field(dtype))
      error("is ", name_of(dtype), " but stores its elements in ", field_name(summary.storage),
            "; ", field_name(typed_field(dtype)), " or raw_data is expected");
    if (summary.external) {
      if (summary.storage != 0) error("has elements here and in another file");
      return;
    }
    const size_t items = stored_items(dtype, elements);
    const size_t bytes = (elements * stored_bits(dtype) + 7) / 8;
    if (summary.storage == kRawData && summary.count != bytes)
      error("of type ", name_of(dtype), shape.to_string(), " needs ", bytes,
            " bytes, its raw_data has ", summary.count);
    if (summary.storage != kRawData && summary.count != items)
      error("of type ", name_of(dtype), shape.to_string(), " needs ", items,
            items == elements ? " elements" : " bytes", ", it has ", summary.count,
            summary.storage ? cat(" in ", field_name(summary.storage)) : "");
  }

  // The second pass; the first one has shown that the elements fit.
  void fill(uint32_t storage, Tensor& tensor) const {
    size_t i = 0;
    WireField field;
    for (WireCursor cursor(message_); cursor.next(field);)
      if (field.number() == storage) i = fill_from(field, tensor, i);
    SANDERLING_ASSERT(
        storage == kRawData ||
            i == stored_items(tensor.dtype(), static_cast<size_t>(tensor.shape().elements())),
        i, " of ", tensor.shape().elements());
  }

  size_t fill_from(const WireField& field, Tensor& tensor, size_t i) const {
    if (field.number() == kRawData) {
      if (!field.bytes().empty()) copy_raw(field.bytes(), tensor);
      return i;
    }
    const auto integers = [&](const auto& store) {
      field.each_integer([&](int64_t value) { store(i++, value); });
    };
    const auto plain = [&](auto zero) {
      using T = decltype(zero);
      integers([&, to = tensor.mutable_data<T>()](size_t at, int64_t value) {
        to[at] = narrow<T>(value, tensor.dtype());
      });
    };
    switch (tensor.dtype()) {
      case DType::kFloat32:
        field.each_float([&](float v) { tensor.mutable_data<float>()[i++] = v; });
        break;
      case DType::kFloat64:
        field.each_double([&](double v) { tensor.mutable_data<double>()[i++] = v; });
        break;
      case DType::kBool:
        integers([&](size_t at, int64_t value) { tensor.mutable_data<bool>()[at] = value != 0; });
        break;
      case DType::kInt64:
        integers([&](size_t at, int64_t value) { tensor.mutable_data<int64_t>()[at] = value; });
        break;
      case DType::kUInt64:
        integers([&](size_t at, int64_t value) {
          tensor.mutable_data<uint64_t>()[at] = static_cast<uint64_t>(value);
        });
        break;
      case DType::kInt32:
        integers([&](size_t at, int64_t value) {
          tensor.mutable_data<int32_t>()[at] = static_cast<int32_t>(value);
        });
        break;
      case DType::kUInt32:
        plain(uint32_t{});
        break;
      case DType::kInt16:
        plain(int16_t{});
        break;
      case DType::kUInt16:
        plain(uint16_t{});
        break;
      case DType::kInt8:
        plain(int8_t{});
        break;
      case DType::kUInt8:
        plain(uint8_t{});
        break;
      default:  // as bits
        integers([&](size_t at, int64_t value) { store_bits(tensor, at, value); });
        break;
    }
    return i;
  }

  // One number of int32_data that holds the bits of an element, or of several.
  void store_bits(Tensor& tensor, size_t at, int64_t value) const {
    auto* const out = static_cast<std::byte*>(tensor.mutable_raw());
    if (size_of(tensor.dtype()) == 2) {
      const auto bits = narrow<uint16_t>(value, tensor.dtype());
      std::memcpy(out + 2 * at, &bits, sizeof bits);
    } else if (const auto byte = static_cast<std::byte>(narrow<uint8_t>(value, tensor.dtype()));
               stored_bits(tensor.dtype()) == 8) {
      out[at] = byte;
    } else {
      spread(byte, at, tensor);
    }
  }

  // Byte `at` of the file into the elements that it holds.
  static void spread(std::byte byte, size_t at, Tensor& tensor) {
    const size_t bits = stored_bits(tensor.dtype());
    const size_t each = 8 / bits;
    const auto elements = static_cast<size_t>(tensor.shape().elements());
    auto* const out = static_cast<std::byte*>(tensor.mutable_raw());
    for (size_t k = 0; k < each && at * each + k < elements; ++k) {
      out[at * each + k] = (byte >> (k * bits)) & std::byte((1 << bits) - 1);
    }
  }

  // int32_data holds 32-bit numbers; a negative one comes sign-extended to 64 bits.
  template <typename T>
  T narrow(int64_t value, DType dtype) const {
    const int64_t number = sizeof(T) == 4 ? value : static_cast<int32_t>(value);
    if (number < std::numeric_limits<T>::min() || number > std::numeric_limits<T>::max())
      error("is ", name_of(dtype), " but holds the element ", number);
    return static_cast<T>(number);
  }

  static void copy_raw(std::span<const std::byte> bytes, Tensor& tensor) {
    // The slack behind a tensor would hide a small overflow from the address sanitizer.
    if (stored_bits(tensor.dtype()) < 8) {
      for (size_t at = 0; at < bytes.size(); ++at) spread(bytes[at], at, tensor);
      return;
    }
    SANDERLING_ASSERT(bytes.size() == tensor.type().bytes(), bytes.size());
    if (tensor.dtype() == DType::kBool) {
      // A bool with any other byte than 0 or 1 is undefined behaviour in C++.
      auto* out = static_cast<std::byte*>(tensor.mutable_raw());
      for (size_t i = 0; i < bytes.size(); ++i)
        out[i] = bytes[i] == std::byte{0} ? std::byte{0} : std::byte{1};
      return;
    }
    std::memcpy(tensor.mutable_raw(), bytes.data(), bytes.size());
  }

  const WireMessage message_;
  const std::string_view what_;
  const ExternalData& external_;
};

}  // namespace

DType read_dtype(int64_t data_type, std::string_view what) {
  if (const std::optional<DType> dtype = dtype_of_onnx_number(data_type)) return *dtype;
  if (data_type <= 0)
    fail(ErrorCode::kModel, "[onnx] ", what, " has no element type (TensorProto.DataType ",
         data_type, ")");
  const auto it = std::find_if(kOtherTypes.begin(), kOtherTypes.end(),
                               [&](const auto& other) { return other.first == data_type; });
  fail(ErrorCode::kUnsupported, "[onnx] ", what, " has the ONNX type ",
       it == kOtherTypes.end() ? "unknown" : it->second, " (TensorProto.DataType ", data_type,
       "); the native engine has numbers and bool. Convert the model to one of them, or use "
       "backend='onnxruntime' or backend='auto'");
}

Tensor read_tensor(const WireMessage& message, std::string_view what,
                   const ExternalData& external) {
  return TensorReader(message, what, external).read();
}

}  // namespace sanderling
