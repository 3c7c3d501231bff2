#include "core/dtype.h"

#include <array>

#include "core/error.h"

namespace sanderling {
namespace {

enum class Kind : uint8_t { kFloat, kInteger, kBool };

struct Facts {
  std::string_view name;
  uint8_t bytes;
  Kind kind;
  uint8_t onnx_number;  // TensorProto.DataType
};

// In the order of DType.
constexpr std::array<Facts, kDTypes> kFacts{{{"float32", 4, Kind::kFloat, 1},
                                             {"float64", 8, Kind::kFloat, 11},
                                             {"uint8", 1, Kind::kInteger, 2},
                                             {"int8", 1, Kind::kInteger, 3},
                                             {"int32", 4, Kind::kInteger, 6},
                                             {"int64", 8, Kind::kInteger, 7},
                                             {"bool", 1, Kind::kBool, 9},
                                             {"uint16", 2, Kind::kInteger, 4},
                                             {"int16", 2, Kind::kInteger, 5},
                                             {"uint32", 4, Kind::kInteger, 12},
                                             {"uint64", 8, Kind::kInteger, 13},
                                             {"float16", 2, Kind::kFloat, 10},
                                             {"bfloat16", 2, Kind::kFloat, 16},
                                             {"float8_e4m3fn", 1, Kind::kFloat, 17},
                                             {"float8_e4m3fnuz", 1, Kind::kFloat, 18},
                                             {"float8_e5m2", 1, Kind::kFloat, 19},
                                             {"float8_e5m2fnuz", 1, Kind::kFloat, 20},
                                             {"float8_e8m0fnu", 1, Kind::kFloat, 24},
                                             {"float4_e2m1fn", 1, Kind::kFloat, 23},
                                             {"uint4", 1, Kind::kInteger, 21},
                                             {"int4", 1, Kind::kInteger, 22},
                                             {"uint2", 1, Kind::kInteger, 25},
                                             {"int2", 1, Kind::kInteger, 26}}};

const Facts& facts_of(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  if (index >= kFacts.size()) fail(ErrorCode::kInternal, "unknown dtype ", static_cast<int>(dtype));
  return kFacts[index];
}

template <typename Matches>
std::optional<DType> find(const Matches& matches) {
  for (size_t i = 0; i < kFacts.size(); ++i)
    if (matches(kFacts[i])) return static_cast<DType>(i);
  return std::nullopt;
}

}  // namespace

size_t size_of(DType dtype) { return facts_of(dtype).bytes; }

std::string_view name_of(DType dtype) { return facts_of(dtype).name; }

std::optional<DType> dtype_named(std::string_view name) {
  return find([&](const Facts& facts) { return facts.name == name; });
}

bool is_integer(DType dtype) { return facts_of(dtype).kind == Kind::kInteger; }

bool is_float(DType dtype) { return facts_of(dtype).kind == Kind::kFloat; }

int onnx_number_of(DType dtype) { return facts_of(dtype).onnx_number; }

std::optional<DType> dtype_of_onnx_number(int64_t number) {
  return find([&](const Facts& facts) { return facts.onnx_number == number; });
}

}  // namespace sanderling
