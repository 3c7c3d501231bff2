#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace sanderling {

// Counts codes fast, also few at a time. Equal neighbours, such as the zeros behind a Relu, would
// wait for each other's store to the same counter (store forwarding takes 4-5 cycles), so four
// tables take turns.
class CodeCounter {
 public:
  // At most kMaxCodes between two calls of clear(): a 32-bit counter must not overflow.
  static constexpr uint64_t kMaxCodes = uint64_t{1} << 31;

  void update(std::span<const uint8_t> codes);
  uint64_t codes() const { return codes_; }  // counted since the last clear()
  uint64_t count(size_t code) const;
  void clear();

 private:
  std::array<std::array<uint32_t, 256>, 4> tables_{};
  uint64_t codes_ = 0;
};

// How often each code of a quantized tensor occurred: exact, 256 counters, blind to position. A
// code is a byte: that of an int8 tensor is its two's complement, so -128 is 128 and 127 is 127.
class CodeHistogram {
 public:
  static constexpr size_t kCodes = 256;

  void update(std::span<const uint8_t> codes);
  void add(const CodeCounter& counter);
  void merge(const CodeHistogram& other);

  const std::array<uint64_t, kCodes>& counts() const { return counts_; }
  uint64_t total() const;
  // The share of the codes at the two ends of the type, 0 when empty: where values were cut off.
  double saturation_share(bool is_signed = false) const;

  std::string serialize() const;
  static CodeHistogram deserialize(std::span<const uint8_t> bytes);
  bool operator==(const CodeHistogram& other) const = default;

 private:
  std::array<uint64_t, kCodes> counts_{};
};

}  // namespace sanderling
