#include "drift/value_histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace sanderling {

ValueHistogram::ValueHistogram(const ReferenceId& id, float low, float high)
    : id_(id), low_(low), high_(high) {
  if (!std::isfinite(low) || !std::isfinite(high) || !(low < high)) {
    fail(ErrorCode::kInput, "[value_histogram] range ", low, " to ", high,
         ". Give finite ends, the lower one first.");
  }
}

void ValueHistogram::update(std::span<const float> values) {
  // In double: high - low of two finite floats may exceed the range of float.
  const double scale = kBins / (static_cast<double>(high_) - low_);
  for (const float value : values) {
    if (std::isnan(value)) {
      ++missing_;
      continue;
    }
    const double at = (static_cast<double>(value) - low_) * scale;
    ++counts_[static_cast<size_t>(std::clamp(at, 0.0, static_cast<double>(kBins - 1)))];
  }
}

void ValueHistogram::merge(const ValueHistogram& other) {
  if (id_ != other.id_ || low_ != other.low_ || high_ != other.high_) {
    fail(ErrorCode::kInput, "[value_histogram] counts of reference ", to_string(id_), " and of ",
         to_string(other.id_), " do not add. Merge only sketches of one reference.");
  }
  for (size_t i = 0; i < kBins; ++i) counts_[i] += other.counts_[i];
  missing_ += other.missing_;
}

uint64_t ValueHistogram::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), missing_);
}

std::string ValueHistogram::serialize() const {
  SketchWriter writer(SketchKind::kValueHistogram);
  writer.put_bytes(id_);
  writer.put_float(low_);
  writer.put_float(high_);
  for (const uint64_t count : counts_) writer.put_count(count);
  writer.put_count(missing_);
  return writer.finish();
}

ValueHistogram ValueHistogram::deserialize(std::span<const uint8_t> bytes) {
  SketchReader reader(bytes, SketchKind::kValueHistogram, "value_histogram");
  ReferenceId id;
  reader.copy(id);
  const float low = reader.float_value();
  const float high = reader.float_value();
  if (!std::isfinite(low) || !std::isfinite(high) || !(low < high)) {
    reader.damaged(cat("a range of ", low, " to ", high));
  }
  ValueHistogram result(id, low, high);
  for (uint64_t& count : result.counts_) count = reader.count();
  result.missing_ = reader.count();
  reader.finish();
  return result;
}

}  // namespace sanderling
