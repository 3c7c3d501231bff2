#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "core/error.h"

namespace sanderling {

// A 64-bit checksum of bytes that come in whole blocks of kBlockBytes. It finds damage, no
// forgery. Every step maps a lane to a new one without loss, so that one changed word always
// changes the result; four lanes, since a step waits some six cycles for the one before it.
class Checksum {
 public:
  static constexpr size_t kBlockBytes = 32;

  void add(std::span<const std::byte> bytes) {
    SANDERLING_ASSERT(bytes.size() % kBlockBytes == 0, bytes.size());
    std::array<uint64_t, 4> lanes = lanes_, words;
    for (size_t at = 0; at < bytes.size(); at += kBlockBytes) {
      std::memcpy(words.data(), bytes.data() + at, kBlockBytes);
      for (size_t i = 0; i < lanes.size(); ++i) lanes[i] = mixed(lanes[i] ^ words[i]);
    }
    lanes_ = lanes;
    length_ += bytes.size();
  }
  uint64_t value() const {
    uint64_t sum = mixed(length_);
    for (const uint64_t lane : lanes_) sum = mixed(sum ^ lane);
    return sum;
  }

 private:
  // Both steps can be undone: an odd factor has an inverse, and so has the shift by half.
  static uint64_t mixed(uint64_t x) {
    x *= 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio, odd
    return x ^ (x >> 32);
  }

  std::array<uint64_t, 4> lanes_{1, 2, 3, 4};  // apart, so that lanes cannot be exchanged
  uint64_t length_ = 0;
};

}  // namespace sanderling
