#pragma once

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

// 1.5 * 2^23: adding it to a float of at most 2^22 leaves no bits for a fraction, so the sum is
// rounded to a whole number, ties to even, which stands in its low bits.
constexpr float kWhole = 0x1.8p23f;

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
