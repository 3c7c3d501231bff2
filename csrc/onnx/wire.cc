#include "onnx/wire.h"

#include <algorithm>

namespace sanderling {
namespace {

const char* name_of(WireType type) {
  switch (type) {
    case WireType::kVarint:
      return "varint";
    case WireType::kFixed64:
      return "64-bit";
    case WireType::kBytes:
      return "length-delimited";
    case WireType::kFixed32:
      return "32-bit";
  }
  return "unknown";
}

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. Names reach Python as str,
// which holds nothing else.
bool is_utf8(std::span<const std::byte> text) {
  size_t i = 0;
  const auto at = [&](size_t k) { return static_cast<uint8_t>(text[k]); };
  while (i < text.size()) {
    const uint8_t lead = at(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() - i < length) return false;
    for (size_t k = 1; k < length; ++k)
      if ((at(i + k) & 0xC0) != 0x80) return false;
    const uint8_t second = at(i + 1);
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
        (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F))
      return false;
    i += length;
  }
  return true;
}

}  // namespace

void WireField::require(WireType type) const {
  if (type_ != type)
    fail(ErrorCode::kModel, "[onnx] field ", number_, " at byte ", offset_, " is ", name_of(type_),
         " where ", name_of(type), " is expected: the file is damaged or is not an ONNX model");
}

int64_t WireField::integer() const {
  require(WireType::kVarint);
  return static_cast<int64_t>(scalar_);
}

float WireField::float32() const {
  require(WireType::kFixed32);
  return std::bit_cast<float>(static_cast<uint32_t>(scalar_));
}

std::span<const std::byte> WireField::bytes() const {
  require(WireType::kBytes);
  return bytes_;
}

std::string_view WireField::text() const {
  if (!is_utf8(bytes()))
    fail(ErrorCode::kModel, "[onnx] the text in field ", number_, " at byte ", offset_,
         " is not UTF-8: the file is damaged or is not an ONNX model");
  return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
}

WireMessage WireField::message() const {
  require(WireType::kBytes);
  if (depth_ >= WireMessage::kMaxDepth)
    fail(ErrorCode::kModel, "[onnx] messages nest deeper than ", WireMessage::kMaxDepth,
         " levels at byte ", offset_);
  return {bytes_, bytes_offset_, depth_ + 1};
}

size_t WireField::count_integers() const {
  if (type_ == WireType::kVarint) return 1;
  // The last byte of each varint is the one without the continuation bit.
  return static_cast<size_t>(std::count_if(bytes().begin(), bytes_.end(), [](std::byte b) {
    return (b & std::byte{0x80}) == std::byte{0};
  }));
}

size_t WireField::count_fixed(WireType type) const {
  if (type_ == type) return 1;
  const size_t size = type == WireType::kFixed64 ? 8 : 4;
  if (bytes().size() % size != 0)
    fail(ErrorCode::kModel, "[onnx] the packed field ", number_, " at byte ", offset_, " has ",
         bytes_.size(), " bytes, which is no multiple of ", size);
  return bytes_.size() / size;
}

uint64_t WireCursor::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (done())
      fail(ErrorCode::kModel, "[onnx] the file ends inside a number at byte ",
           message_.offset + position_, ": it is truncated or is not an ONNX model");
    const auto byte = static_cast<uint64_t>(message_.bytes[position_++]);
    if (shift == 63 && byte > 1) break;
    value |= (byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  fail(ErrorCode::kModel, "[onnx] the number that ends at byte ", message_.offset + position_,
       " has more than 64 bits: the file is damaged or is not an ONNX model");
}

uint64_t WireCursor::fixed(size_t bytes) {
  if (message_.bytes.size() - position_ < bytes)
    fail(ErrorCode::kModel, "[onnx] a number of ", bytes, " bytes at byte ",
         message_.offset + position_, " has only ", message_.bytes.size() - position_,
         ": the file is truncated or is not an ONNX model");
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i)
    value |= static_cast<uint64_t>(message_.bytes[position_++]) << (8 * i);
  return value;
}

bool WireCursor::next(WireField& field) {
  if (done()) return false;
  field.offset_ = message_.offset + position_;
  field.depth_ = message_.depth;
  field.bytes_ = {};
  field.scalar_ = 0;
  const uint64_t tag = varint();
  constexpr uint64_t kMaxFieldNumber = (uint64_t{1} << 29) - 1;
  if ((tag >> 3) == 0 || (tag >> 3) > kMaxFieldNumber)
    fail(ErrorCode::kModel, "[onnx] byte ", field.offset_, " states field number ", tag >> 3,
         ": the file is damaged or is not an ONNX model");
  field.number_ = static_cast<uint32_t>(tag >> 3);
  switch (tag & 7) {
    case 0:
      field.type_ = WireType::kVarint;
      field.scalar_ = varint();
      return true;
    case 1:
      field.type_ = WireType::kFixed64;
      field.scalar_ = fixed(8);
      return true;
    case 5:
      field.type_ = WireType::kFixed32;
      field.scalar_ = fixed(4);
      return true;
    case 2: {
      field.type_ = WireType::kBytes;
      const uint64_t length = varint();
      const uint64_t left = message_.bytes.size() - position_;
      if (length > left)
        fail(ErrorCode::kModel, "[onnx] field ", field.number_, " at byte ", field.offset_,
             " states ", length, " bytes, of which ", left,
             " are there: the file is truncated or is not an ONNX model");
      field.bytes_ = message_.bytes.subspan(position_, static_cast<size_t>(length));
      field.bytes_offset_ = message_.offset + position_;
      position_ += static_cast<size_t>(length);
      return true;
    }
    default:
      fail(ErrorCode::kModel, "[onnx] field ", field.number_, " at byte ", field.offset_,
           " has wire type ", tag & 7,
           ", which ONNX does not use: the file is damaged or is not an ONNX model");
  }
}

}  // namespace sanderling
