#include "drift/class_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "drift/bytes.h"

namespace sanderling {
namespace {

constexpr double kSumTolerance = 1e-3;  // a float32 or 8-bit softmax sums to 1 within this

}  // namespace

RowDecision decide(std::span<const float> scores) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  if (scores.empty()) return {-1, kNan};
  size_t best = 0;
  double sum = 0.0;
  bool unit = true;
  for (size_t i = 0; i < scores.size(); ++i) {
    const float score = scores[i];
    if (std::isnan(score)) return {-1, kNan};
    if (score > scores[best]) best = i;
    unit = unit && score >= 0.0f && score <= 1.0f;
    sum += score;
  }
  const auto index = static_cast<int64_t>(best);
  if (unit && std::abs(sum - 1.0) <= kSumTolerance) return {index, scores[best]};
  if (std::isinf(scores[best])) {
    // +inf wins with certainty, shared by all that are +inf; a row of -inf is as good as uniform.
    const auto equal = static_cast<float>(std::count(scores.begin(), scores.end(), scores[best]));
    return {index, 1.0f / equal};
  }
  double weight = 0.0;
  for (const float score : scores) weight += std::exp(static_cast<double>(score) - scores[best]);
  return {index, static_cast<float>(1.0 / weight)};
}

ClassHistogram::ClassHistogram(size_t classes) {
  if (classes < 1 || classes > kMaxClasses) {
    fail(ErrorCode::kInput, "[class_histogram] ", classes, " classes, 1 to ", kMaxClasses,
         " are possible.");
  }
  counts_.resize(classes);
}

void ClassHistogram::update(int64_t class_index) {
  if (class_index < -1 || class_index >= static_cast<int64_t>(counts_.size())) {
    fail(ErrorCode::kInput, "[class_histogram] class ", class_index, " of ", counts_.size(),
         " classes. Give the index of a class, or -1 for none.");
  }
  ++(class_index < 0 ? missing_ : counts_[static_cast<size_t>(class_index)]);
}

void ClassHistogram::merge(const ClassHistogram& other) {
  if (counts_.size() != other.counts_.size()) {
    fail(ErrorCode::kInput, "[class_histogram] ", counts_.size(), " classes and ",
         other.counts_.size(),
         " classes do not add. Merge only sketches of the same output of the same model.");
  }
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  missing_ += other.missing_;
}

uint64_t ClassHistogram::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), missing_);
}

std::string ClassHistogram::serialize() const {
  SketchWriter writer(SketchKind::kClassHistogram);
  writer.put_count(counts_.size());
  for (const uint64_t count : counts_) writer.put_count(count);
  writer.put_count(missing_);
  return writer.finish();
}

ClassHistogram ClassHistogram::deserialize(std::span<const uint8_t> bytes) {
  SketchReader reader(bytes, SketchKind::kClassHistogram, "class_histogram");
  const size_t classes = reader.size(kMaxClasses);
  if (classes == 0) reader.damaged("no classes");
  ClassHistogram result(classes);
  for (uint64_t& count : result.counts_) count = reader.count();
  result.missing_ = reader.count();
  reader.finish();
  return result;
}

}  // namespace sanderling
