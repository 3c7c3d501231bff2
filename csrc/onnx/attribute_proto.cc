#include "onnx/attribute_proto.h"

#include <optional>

#include "onnx/model.h"
#include "onnx/sparse_tensor.h"
#include "onnx/tensor_proto.h"

namespace sanderling {
namespace {

enum AttributeField : uint32_t {
  kF = 2,
  kI = 3,
  kS = 4,
  kT = 5,
  kG = 6,
  kFloats = 7,
  kInts = 8,
  kStrings = 9,
  kType = 20,
  kRefAttrName = 21,
  kSparse = 22,
};

// AttributeProto.AttributeType; what stands between is not supported.
enum AttributeType : int64_t {
  kFloat = 1,
  kInt = 2,
  kString = 3,
  kTensor = 4,
  kGraph = 5,
  kFloatList = 6,
  kIntList = 7,
  kStringList = 8,
  kSparseTensor = 11,
};

const char* unsupported_name(int64_t type) {
  switch (type) {
    case 9:
      return "tensors";
    case 10:
      return "graphs";
    case 12:
      return "sparse_tensors";
    case 13:
      return "type_proto";
    case 14:
      return "type_protos";
  }
  return nullptr;
}

// The last value of a singular scalar field wins, as in protobuf; a field that is absent has
// protobuf's default, since writers may leave out zeros.
struct AttributeReader {
  const WireMessage& message;
  std::string_view what;

  int64_t type() const {
    if (const std::string_view name = referred_attribute(message); !name.empty())
      fail(ErrorCode::kModel, "[onnx] ", what, " refers to the attribute '", name,
           "' of a function, but stands outside of one");
    int64_t type = 0;
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);)
      if (field.number() == kType) type = field.integer();
    return type;
  }

  template <typename Visit>
  void each(uint32_t number, Visit visit) const {
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);)
      if (field.number() == number) visit(field);
  }

  // The one message in a field.
  WireMessage only(uint32_t number, const char* kind) const {
    std::optional<WireMessage> found;
    each(number, [&](const WireField& field) {
      if (found) fail(ErrorCode::kModel, "[onnx] ", what, " has two ", kind, "s");
      found = field.message();
    });
    if (!found) fail(ErrorCode::kModel, "[onnx] ", what, " is of type ", kind, " and has none");
    return *found;
  }
};

}  // namespace

std::optional<WireMessage> read_graph_attribute(const WireMessage& message, std::string_view what) {
  const AttributeReader reader{message, what};
  if (reader.type() != kGraph) return std::nullopt;
  return reader.only(kG, "graph");
}

std::string_view referred_attribute(const WireMessage& message) {
  std::string_view name;
  WireField field;
  for (WireCursor cursor(message); cursor.next(field);)
    if (field.number() == kRefAttrName) name = read_name(field);
  return name;
}

Attribute read_attribute(const WireMessage& message, std::string_view what,
                         const ExternalData& external) {
  const AttributeReader reader{message, what};
  const int64_t type = reader.type();
  switch (type) {
    case kFloat: {
      float value = 0.0f;
      reader.each(kF, [&](const WireField& field) { value = field.float32(); });
      return value;
    }
    case kInt: {
      int64_t value = 0;
      reader.each(kI, [&](const WireField& field) { value = field.integer(); });
      return value;
    }
    case kString: {
      std::string value;
      reader.each(kS, [&](const WireField& field) { value = field.text(); });
      return value;
    }
    case kTensor:
      return read_tensor(reader.only(kT, "tensor"), what, external);
    case kSparseTensor:
      return read_sparse_tensor(reader.only(kSparse, "sparse_tensor"), what, external);
    case kFloatList: {
      std::vector<float> values;
      reader.each(kFloats, [&](const WireField& field) {
        field.each_float([&](float value) { values.push_back(value); });
      });
      return values;
    }
    case kIntList: {
      std::vector<int64_t> values;
      reader.each(kInts, [&](const WireField& field) {
        field.each_integer([&](int64_t value) { values.push_back(value); });
      });
      return values;
    }
    case kStringList: {
      std::vector<std::string> values;
      reader.each(kStrings, [&](const WireField& field) {
        if (values.size() == OnnxLimits::kMaxItems)  // an empty string of 2 bytes would cost us 32
          fail(ErrorCode::kModel, "[onnx] ", what, " has more than ", OnnxLimits::kMaxItems,
               " strings");
        values.emplace_back(field.text());
      });
      return values;
    }
  }
  if (const char* name = unsupported_name(type))
    fail(ErrorCode::kUnsupported, "[onnx] ", what, " is of type ", name,
         ", which the native engine does not run. Use backend='onnxruntime' or backend='auto'");
  fail(ErrorCode::kModel, "[onnx] ", what, " has the attribute type ", type, "; ONNX has 1 to 14");
}

}  // namespace sanderling
