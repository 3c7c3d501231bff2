#include "drift/row_faults.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "drift/wide.h"

namespace sanderling {
namespace {

struct RowEnds {
  uint32_t low = 0;
  uint32_t high = 0;
};

// One row; every comparison with NaN is false. Plain loops that the compiler vectorises over the
// features.
[[gnu::always_inline]] inline RowEnds scan(const float* __restrict row, size_t features,
                                           const float* __restrict low,
                                           const float* __restrict high, float* __restrict least,
                                           float* __restrict largest, uint32_t* __restrict at_low,
                                           uint32_t* __restrict at_high,
                                           uint32_t* __restrict missing) {
  RowEnds ends;
  for (size_t i = 0; i < features; ++i) {
    const float value = row[i];
    least[i] = value < least[i] ? value : least[i];
    largest[i] = value > largest[i] ? value : largest[i];
    const uint32_t is_low = value <= low[i] ? 1 : 0;
    const uint32_t is_high = value >= high[i] ? 1 : 0;
    at_low[i] += is_low;
    at_high[i] += is_high;
    missing[i] += value != value ? 1 : 0;
    ends.low += is_low;
    ends.high += is_high;
  }
  return ends;
}

RowEnds scan_baseline(const float* row, size_t features, const float* low, const float* high,
                      float* least, float* largest, uint32_t* at_low, uint32_t* at_high,
                      uint32_t* missing) {
  return scan(row, features, low, high, least, largest, at_low, at_high, missing);
}

SANDERLING_AVX2 RowEnds scan_avx2(const float* row, size_t features, const float* low,
                                  const float* high, float* least, float* largest, uint32_t* at_low,
                                  uint32_t* at_high, uint32_t* missing) {
  return scan(row, features, low, high, least, largest, at_low, at_high, missing);
}

void add(std::vector<uint32_t>& to, const std::vector<uint32_t>& from) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

}  // namespace

RowFaults::RowFaults(std::shared_ptr<const RowLimits> limits) : limits_(std::move(limits)) {
  SANDERLING_ASSERT(limits_ != nullptr, "row faults without limits");
  const size_t features = limits_->low.size();
  if (features == 0 || limits_->high.size() != features) {
    fail(ErrorCode::kInput, "[row_faults] ", features, " low ends and ", limits_->high.size(),
         " high ends. Give one of each per feature.");
  }
  least_.assign(features, std::numeric_limits<float>::infinity());
  largest_.assign(features, -std::numeric_limits<float>::infinity());
  at_low_.resize(features);
  at_high_.resize(features);
  missing_.resize(features);
  last_row_.resize(features);
}

void RowFaults::update(std::span<const float> rows) {
  if (rows.size() % features() != 0) {
    fail(ErrorCode::kInput, "[row_faults] ", rows.size(), " values are no rows of ", features(),
         " features. Give a row-major array [rows, features].");
  }
  if (rows.empty()) return;
  const size_t row_bytes = features() * sizeof(float);
  const auto scan_row = wide::has_avx2() ? scan_avx2 : scan_baseline;
  const float* previous = rows_ > 0 ? last_row_.data() : nullptr;
  for (size_t begin = 0; begin < rows.size(); begin += features()) {
    const float* row = rows.data() + begin;
    const RowEnds ends =
        scan_row(row, features(), limits_->low.data(), limits_->high.data(), least_.data(),
                 largest_.data(), at_low_.data(), at_high_.data(), missing_.data());
    rows_pinned_low_ += limits_->pinned_low > 0 && ends.low >= limits_->pinned_low ? 1 : 0;
    rows_pinned_high_ += limits_->pinned_high > 0 && ends.high >= limits_->pinned_high ? 1 : 0;
    if (previous != nullptr) {
      ++pairs_;
      identical_pairs_ += std::memcmp(previous, row, row_bytes) == 0 ? 1 : 0;
    }
    previous = row;
    ++rows_;
  }
  std::memcpy(last_row_.data(), previous, row_bytes);
}

void RowFaults::merge(const RowFaults& other) {
  if (features() != other.features()) {
    fail(ErrorCode::kInput, "[row_faults] ", features(), " features and ", other.features(),
         " do not add. Merge only pieces of one window of one input.");
  }
  rows_ += other.rows_;
  pairs_ += other.pairs_;
  identical_pairs_ += other.identical_pairs_;
  rows_pinned_low_ += other.rows_pinned_low_;
  rows_pinned_high_ += other.rows_pinned_high_;
  for (size_t i = 0; i < features(); ++i) {
    least_[i] = std::min(least_[i], other.least_[i]);
    largest_[i] = std::max(largest_[i], other.largest_[i]);
  }
  add(at_low_, other.at_low_);
  add(at_high_, other.at_high_);
  add(missing_, other.missing_);
  if (other.rows_ > 0) last_row_ = other.last_row_;
}

}  // namespace sanderling
