#include "drift/projections.h"

#include <bit>
#include <cmath>

#include "core/error.h"
#include "drift/wide.h"

namespace sanderling {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): element i gets the low 16 bits of the i-th output.
uint64_t split_mix(uint64_t state) {
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
constexpr uint64_t kSplitMixStep = 0x9E3779B97F4A7C15u;

// The sums of kLanes directions, from `direction` on. XOR with the top bit negates a float.
template <size_t kLanes>
[[gnu::always_inline]] inline void sum_lanes(const float* row, const uint16_t* signs,
                                             size_t elements, size_t direction, float* out) {
  using Ints = typename wide::Vector<kLanes>::Ints;
  using Floats = typename wide::Vector<kLanes>::Floats;
  Ints bit;
  for (size_t lane = 0; lane < kLanes; ++lane) bit[lane] = 1 << (direction + lane);
  Floats sum = {};
  for (size_t i = 0; i < elements; ++i) {
    const float value = row[i] - row[i] == 0.0f ? row[i] : 0.0f;
    const Ints minus = ((bit & static_cast<int32_t>(signs[i])) != 0) & INT32_MIN;
    const Ints all = Ints{} + std::bit_cast<int32_t>(value);
    const Ints signed_value = all ^ minus;
    Floats term;
    wide::load(term, &signed_value);
    sum += term;
  }
  std::memcpy(out + direction, &sum, sizeof(sum));
}

void sum_baseline(const float* row, const uint16_t* signs, size_t elements, float* out) {
  for (size_t direction = 0; direction < Projections::kCount; direction += wide::kBaselineLanes) {
    sum_lanes<wide::kBaselineLanes>(row, signs, elements, direction, out);
  }
}

SANDERLING_AVX2 void sum_avx2(const float* row, const uint16_t* signs, size_t elements,
                              float* out) {
  for (size_t direction = 0; direction < Projections::kCount; direction += wide::kAvx2Lanes) {
    sum_lanes<wide::kAvx2Lanes>(row, signs, elements, direction, out);
  }
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
