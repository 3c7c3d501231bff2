#include "npy.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace sanderling {
namespace {

// The text after `key` in the header, a Python dict such as {'descr': '<f4', 'fortran_order':
// False, 'shape': (3, 4), }.
std::string after(const std::string& header, const std::string& key) {
  const size_t at = header.find("'" + key + "':");
  if (at == std::string::npos) fail(ErrorCode::kInput, "[npy] header has no '", key, "'");
  return header.substr(header.find_first_not_of(' ', at + key.size() + 3));
}

DType read_descr(const std::string& text) {
  static const std::map<std::string, DType> known{
      {"<f4", DType::kFloat32}, {"<f8", DType::kFloat64}, {"|u1", DType::kUInt8},
      {"|i1", DType::kInt8},    {"<i4", DType::kInt32},   {"<i8", DType::kInt64},
      {"|b1", DType::kBool},    {"<u2", DType::kUInt16},  {"<i2", DType::kInt16},
      {"<u4", DType::kUInt32},  {"<u8", DType::kUInt64},  {"<f2", DType::kFloat16}};
  const auto it = known.find(text.substr(1, 3));
  if (it == known.end()) fail(ErrorCode::kInput, "[npy] unknown element type ", text.substr(0, 8));
  return it->second;
}

Shape read_shape(const std::string& text) {
  std::vector<int64_t> dims;
  size_t at = 1;
  while (text.at(at) != ')') {
    if (text[at] == ',' || text[at] == ' ') {
      ++at;
      continue;
    }
    size_t digits = 0;
    dims.push_back(std::stoll(text.substr(at), &digits));
    at += digits;
  }
  return Shape(std::move(dims));
}

}  // namespace

Tensor read_npy(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (bytes.size() < 12 || bytes.compare(0, 6, "\x93NUMPY") != 0)
    fail(ErrorCode::kInput, "[npy] '", path.string(), "' is no .npy file");
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(bytes[i])); };
  const bool first_version = bytes[6] == 1;
  const size_t begin = first_version ? 10 : 12;
  size_t length = byte(8) | byte(9) << 8;
  if (!first_version) length |= byte(10) << 16 | byte(11) << 24;
  const std::string header = bytes.substr(begin, length);
  if (!after(header, "fortran_order").starts_with("False"))
    fail(ErrorCode::kInput, "[npy] '", path.string(), "' is not in C order");
  Tensor tensor(read_descr(after(header, "descr")), read_shape(after(header, "shape")));
  const size_t wanted = tensor.type().bytes();
  if (bytes.size() < begin + length || bytes.size() - begin - length != wanted)
    fail(ErrorCode::kInput, "[npy] '", path.string(), "' has not the ", wanted, " bytes of ",
         tensor.type().to_string());
  if (wanted != 0) std::memcpy(tensor.mutable_raw(), bytes.data() + begin + length, wanted);
  return tensor;
}

}  // namespace sanderling
