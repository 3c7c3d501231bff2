// A cursor over protobuf's wire format: every length is checked against the bytes that are there
// before it is believed, and nothing is allocated or copied. Views point into the caller's bytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/error.h"

namespace sanderling {

enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// An embedded message that has not been looked into yet.
struct WireMessage {
  // As protobuf's own parsers. A subgraph of a node takes three levels, so that models may nest 30.
  static constexpr int kMaxDepth = 100;

  std::span<const std::byte> bytes;
  size_t offset = 0;  // of bytes in the file, for messages
  int depth = 0;
};

// One field as it lies in the file. A known field whose wire type is wrong throws kModel.
class WireField {
 public:
  uint32_t number() const { return number_; }
  size_t offset() const { return offset_; }  // of the field's tag in the file

  int64_t integer() const;                   // varint
  float float32() const;                     // 32 bits
  std::string_view text() const;             // length-delimited; throws kModel unless it is UTF-8
  std::span<const std::byte> bytes() const;  // length-delimited
  WireMessage message() const;               // length-delimited; throws kModel below kMaxDepth

  // Elements of a repeated scalar field, packed or not; there are never more than bytes in the
  // file.
  size_t count_integers() const;
  size_t count_fixed(WireType type) const;
  template <typename Visit>
  void each_integer(Visit visit) const;  // visit(int64_t)
  template <typename Visit>
  void each_float(Visit visit) const;  // visit(float)
  template <typename Visit>
  void each_double(Visit visit) const;  // visit(double)

 private:
  friend class WireCursor;
  void require(WireType type) const;

  uint32_t number_ = 0;
  WireType type_ = WireType::kVarint;
  uint64_t scalar_ = 0;               // of a varint or fixed field
  std::span<const std::byte> bytes_;  // of a length-delimited field
  size_t offset_ = 0;
  size_t bytes_offset_ = 0;
  int depth_ = 0;
};

// Walks the fields of one message. Each field is read whole, so that an unknown one is skipped by
// ignoring it.
class WireCursor {
 public:
  explicit WireCursor(const WireMessage& message) : message_(message) {}

  // False at the end. Throws kModel on truncation, a group, field number 0 or a varint over 64
  // bits.
  bool next(WireField& field);

  bool done() const { return position_ == message_.bytes.size(); }
  uint64_t varint();
  uint64_t fixed(size_t bytes);  // 4 or 8, little endian

 private:
  WireMessage message_;
  size_t position_ = 0;
};

template <typename Visit>
void WireField::each_integer(Visit visit) const {
  if (type_ != WireType::kBytes) return visit(integer());
  WireCursor cursor({bytes_, bytes_offset_, depth_});
  while (!cursor.done()) visit(static_cast<int64_t>(cursor.varint()));
}

template <typename Visit>
void WireField::each_float(Visit visit) const {
  if (type_ != WireType::kBytes) return visit(float32());
  WireCursor cursor({bytes_, bytes_offset_, depth_});
  while (!cursor.done()) visit(std::bit_cast<float>(static_cast<uint32_t>(cursor.fixed(4))));
}

template <typename Visit>
void WireField::each_double(Visit visit) const {
  if (type_ != WireType::kBytes) {
    require(WireType::kFixed64);
    return visit(std::bit_cast<double>(scalar_));
  }
  WireCursor cursor({bytes_, bytes_offset_, depth_});
  while (!cursor.done()) visit(std::bit_cast<double>(cursor.fixed(8)));
}

}  // namespace sanderling
