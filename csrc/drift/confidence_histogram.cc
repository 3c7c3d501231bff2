#include "drift/confidence_histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "drift/bytes.h"

namespace sanderling {

void ConfidenceHistogram::update(float confidence) {
  if (std::isnan(confidence)) {
    ++missing_;
    return;
  }
  // Clamped before the cast: the conversion of a float that no int holds is undefined.
  const float scaled = std::clamp(confidence * kBins, 0.0f, static_cast<float>(kBins - 1));
  ++counts_[static_cast<size_t>(scaled)];
}

void ConfidenceHistogram::merge(const ConfidenceHistogram& other) {
  for (size_t i = 0; i < kBins; ++i) counts_[i] += other.counts_[i];
  missing_ += other.missing_;
}

uint64_t ConfidenceHistogram::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), missing_);
}

std::string ConfidenceHistogram::serialize() const {
  SketchWriter writer(SketchKind::kConfidenceHistogram);
  for (const uint64_t count : counts_) writer.put_count(count);
  writer.put_count(missing_);
  return writer.finish();
}

ConfidenceHistogram ConfidenceHistogram::deserialize(std::span<const uint8_t> bytes) {
  SketchReader reader(bytes, SketchKind::kConfidenceHistogram, "confidence_histogram");
  ConfidenceHistogram result;
  for (uint64_t& count : result.counts_) count = reader.count();
  result.missing_ = reader.count();
  reader.finish();
  return result;
}

}  // namespace sanderling
