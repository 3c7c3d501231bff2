#include "quantize/range_observer.h"

#include <algorithm>
#include <cmath>

namespace sanderling {
namespace {

constexpr int kSmallestExponent = -149;  // float32's least denormal is 2^-149
constexpr int kMantissaBits = 23;

int64_t bin_of(double value, int exponent) {
  return static_cast<int64_t>(std::floor(std::ldexp(value, -exponent)));
}

// The bin that holds `bin` once bins are 2^doublings as wide. Shifting right rounds towards minus
// infinity, as bins do; by more than 63 it would not be defined (denormals beside 1e38).
int64_t wider_bin(int64_t bin, int doublings) { return bin >> std::min(doublings, 63); }

int least_exponent(float low, float high) {
  const float largest = std::max(std::abs(low), std::abs(high));
  int exponent = kSmallestExponent;
  if (largest > 0.0f) exponent = std::max(exponent, std::ilogb(largest) - kMantissaBits);
  while (bin_of(high, exponent) - bin_of(low, exponent) >= RangeObserver::kBins) ++exponent;
  return exponent;
}

}  // namespace

double RangeObserver::width() const { return std::ldexp(1.0, exponent_); }

void RangeObserver::add(int64_t bin, uint64_t count, float atom) {
  const auto at = static_cast<size_t>(bin);
  if (counts_[at] == 0) {
    atoms_[at] = atom;
  } else if (atoms_[at] != atom) {
    atoms_[at] = std::numeric_limits<float>::quiet_NaN();  // and stays: NaN differs from all
  }
  counts_[at] += count;
}

void RangeObserver::cover(float low, float high) {
  if (low >= low_ && high <= high_) return;
  const bool empty = count_ == 0;
  low_ = std::min(low_, low);
  high_ = std::max(high_, high);
  const int exponent = least_exponent(low_, high_);
  const int64_t first = bin_of(low_, exponent);
  if (!empty && (exponent != exponent_ || first != first_bin_)) {
    std::array<uint64_t, kBins> old{};
    std::swap(old, counts_);
    const std::array<float, kBins> old_atoms = atoms_;
    for (int64_t i = 0; i < kBins; ++i) {
      const auto at = static_cast<size_t>(i);
      if (old[at] == 0) continue;
      add(wider_bin(first_bin_ + i, exponent - exponent_) - first, old[at], old_atoms[at]);
    }
  }
  exponent_ = exponent;
  first_bin_ = first;
}

void RangeObserver::update(std::span<const float> values) {
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (const float value : values) {
    if (std::isfinite(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    } else if (std::isnan(value)) {
      ++nan_;
    } else {
      ++infinite_;
    }
  }
  if (low > high) return;  // nothing finite
  cover(low, high);
  // Scaling by a power of two is exact in double; cover() has kept |value| / width under 2^24.
  const double per_bin = std::ldexp(1.0, -exponent_);
  const auto first = static_cast<int32_t>(first_bin_);
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    ++count_;
    if (value == 0.0f) {
      ++zeros_;
      continue;
    }
    const double at = static_cast<double>(value) * per_bin;
    auto bin = static_cast<int32_t>(at);
    if (at < bin) --bin;  // floor; std::floor is a call on plain x86-64
    add(bin - first, 1, value);
  }
}

void RangeObserver::merge(const RangeObserver& other) {
  nan_ += other.nan_;
  infinite_ += other.infinite_;
  if (other.count_ == 0) return;
  const RangeObserver copy = other;  // `other` may be this one
  cover(copy.low_, copy.high_);
  for (int64_t i = 0; i < kBins; ++i) {
    const auto at = static_cast<size_t>(i);
    if (copy.counts_[at] == 0) continue;
    add(wider_bin(copy.first_bin_ + i, exponent_ - copy.exponent_) - first_bin_, copy.counts_[at],
        copy.atoms_[at]);
  }
  count_ += copy.count_;
  zeros_ += copy.zeros_;
}

}  // namespace sanderling
