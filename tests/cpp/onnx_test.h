// What the tests of the ONNX reader share: a writer of protobuf's wire format, and the check that
// something is refused.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "check.h"
#include "onnx/wire.h"

namespace sanderling::test {

void test_wire();     // onnx_test_wire.cc
void test_tensors();  // onnx_test_tensors.cc

// Runs `body`, which must throw an Error of this code whose message has all these parts.
inline void expect(const char* file, int line, ErrorCode code,
                   const std::vector<std::string>& parts, const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    const std::string text = error.what();
    for (const std::string& part : parts)
      if (text.find(part) == std::string::npos)
        report(file, line, "message", cat('"', text, "\" lacks \"", part, '"'));
    if (error.code() != code) report(file, line, "code", text);
    return;
  }
  report(file, line, "throws", "no error");
}

#define CHECK_FAILS(code, parts, ...)                                                             \
  ::sanderling::test::expect(__FILE__, __LINE__, ErrorCode::code, std::vector<std::string> parts, \
                             [&] { __VA_ARGS__; })

// Braces around the parts of a message, since a macro argument may not hold bare commas.
#define SAYING(...) {__VA_ARGS__}

// Writes protobuf's wire format.
class Proto {
 public:
  Proto& varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
    return *this;
  }
  Proto& tag(uint64_t field, uint64_t type) { return varint(field << 3 | type); }
  Proto& integer(uint64_t field, int64_t value) {
    return tag(field, 0).varint(static_cast<uint64_t>(value));
  }
  Proto& text(uint64_t field, const std::string& value) {
    tag(field, 2).varint(value.size());
    bytes_ += value;
    return *this;
  }
  Proto& message(uint64_t field, const Proto& value) { return text(field, value.bytes_); }
  template <typename T>
  Proto& raw(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  const std::string& str() const { return bytes_; }
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(bytes_)); }

 private:
  std::string bytes_;
};

inline Proto of_bytes(const std::vector<int>& bytes) {
  Proto proto;
  for (int byte : bytes) proto.raw(static_cast<uint8_t>(byte));
  return proto;
}

inline WireMessage wire(const Proto& proto) { return {proto.bytes(), 0, 0}; }

// TensorProto with these dims and this type.
inline Proto tensor(const std::vector<int64_t>& dims, int64_t type) {
  Proto proto;
  for (int64_t dim : dims) proto.integer(1, dim);
  return proto.integer(2, type);
}

}  // namespace sanderling::test
