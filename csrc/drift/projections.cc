#include "drift/projections.h"

#include <cmath>

#include "core/error.h"
#include "drift/wide.h"

namespace sanderling {
namespace {

static_assert(Projections::kCount == wide::kLanes);

// SplitMix64 (Steele, Lea, Flood 2014): element i gets the low 16 bits of the i-th output.
uint64_t split_mix(uint64_t state) {
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
constexpr uint64_t kSplitMixStep = 0x9E3779B97F4A7C15u;

// Lane k of the sign mask is the top bit alone where bit k of `signs` is set: the XOR that negates
// a float.
[[gnu::always_inline]] inline void sum_rows(const float* row, const uint16_t* signs,
                                            size_t elements, float* out) {
  constexpr wide::Ints kBit = {1,       1 << 1,  1 << 2,  1 << 3, 1 << 4,  1 << 5,
                               1 << 6,  1 << 7,  1 << 8,  1 << 9, 1 << 10, 1 << 11,
                               1 << 12, 1 << 13, 1 << 14, 1 << 15};
  wide::Floats sum = {};
  for (size_t i = 0; i < elements; ++i) {
    const float value = row[i] - row[i] == 0.0f ? row[i] : 0.0f;
    const wide::Floats spread = value - wide::Floats{};
    const wide::Ints mask = ((kBit & static_cast<int32_t>(signs[i])) != 0) & INT32_MIN;
    wide::Ints bits;
    std::memcpy(&bits, &spread, sizeof(bits));
    bits ^= mask;
    wide::Floats term;
    std::memcpy(&term, &bits, sizeof(term));
    sum += term;
  }
  std::memcpy(out, &sum, sizeof(sum));
}

void sum_baseline(const float* row, const uint16_t* signs, size_t elements, float* out) {
  sum_rows(row, signs, elements, out);
}

SANDERLING_AVX2 void sum_avx2(const float* row, const uint16_t* signs, size_t elements,
                              float* out) {
  sum_rows(row, signs, elements, out);
}

}  // namespace

Projections::Projections(size_t elements, uint64_t seed)
    : scale_(static_cast<float>(1.0 / std::sqrt(static_cast<double>(elements)))) {
  if (elements < 1 || elements > kMaxElements) {
    fail(ErrorCode::kInput, "[projections] ", elements, " elements, 1 to ", kMaxElements,
         " are possible.");
  }
  signs_.resize(elements);
  for (size_t i = 0; i < elements; ++i) {
    signs_[i] = static_cast<uint16_t>(split_mix(seed + (i + 1) * kSplitMixStep));
  }
}

std::array<float, Projections::kCount> Projections::project(std::span<const float> row) const {
  if (row.size() != elements()) {
    fail(ErrorCode::kInput, "[projections] a row of ", row.size(), " elements, ", elements(),
         " are wanted.");
  }
  std::array<float, kCount> sums;
  (wide::has_avx2() ? sum_avx2 : sum_baseline)(row.data(), signs_.data(), row.size(), sums.data());
  for (float& sum : sums) sum *= scale_;
  return sums;
}

}  // namespace sanderling
