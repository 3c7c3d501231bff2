// The byte form that every sketch shares, little-endian:
//   "SDRF"  u16 version = 1  u16 kind  u32 payload bytes  payload  u32 CRC-32 of all before it
// Counters in a payload are LEB128 (7 bits a byte, low first), so that the counts of one window
// take about a byte each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sanderling {

enum class SketchKind : uint16_t {
  kCodeHistogram = 1,
  kFrozenBins = 2,
  kClassHistogram = 3,
  kConfidenceHistogram = 4,
  kValueHistogram = 5,
};

// Names the reference by whose bins something was counted: the first 128 bits of a hash of its
// content.
using ReferenceId = std::array<uint8_t, 16>;
std::string to_string(const ReferenceId& id);  // 32 hexadecimal digits

uint32_t crc32(
    std::span<const uint8_t> bytes);  // the reflected polynomial 0xEDB88320 of zlib and PNG

class SketchWriter {
 public:
  explicit SketchWriter(SketchKind kind);
  void put_byte(uint8_t value) { bytes_.push_back(value); }
  void put_float(float value);
  void put_bytes(std::span<const uint8_t> bytes);
  void put_count(uint64_t value);
  std::string finish();  // writes the length and the checksum; the writer is used up

 private:
  std::vector<uint8_t> bytes_;
};

// Reads what SketchWriter wrote. Every member throws kInput, naming `what`, on bytes that are
// damaged, too short, of another kind or of a version that this release does not know; nothing is
// read outside `bytes`.
class SketchReader {
 public:
  SketchReader(std::span<const uint8_t> bytes, SketchKind kind, const char* what);
  uint8_t byte();
  float float_value();
  void copy(std::span<uint8_t> out);
  uint64_t count();
  // A count of things of which each takes at least one byte of what is left, so that a damaged
  // length cannot make the caller allocate more than the input's own size; at most `limit`.
  size_t size(size_t limit);
  void finish();  // everything was read
  [[noreturn]] void damaged(const std::string& why) const;

 private:
  std::span<const uint8_t> left_;
  const char* what_;
};

}  // namespace sanderling
