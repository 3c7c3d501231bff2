#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sanderling {

// What one row of class scores says. Scores whose row lies in [0, 1] and sums to 1 within 1e-3 are
// taken as probabilities, others as logits of a softmax. A row with a NaN says nothing: class_index
// is -1, confidence NaN.
struct RowDecision {
  int64_t class_index = -1;  // of the largest score, the first of equal ones
  float confidence = 0.0f;   // its probability
};
RowDecision decide(std::span<const float> scores);

// How often each class was the answer, and how many rows had none (NaN).
class ClassHistogram {
 public:
  static constexpr size_t kMaxClasses = size_t{1} << 20;

  explicit ClassHistogram(size_t classes);  // kInput unless 1 <= classes <= kMaxClasses
  // Counts one row; -1 is a row without an answer. kInput for a class outside [-1, classes).
  void update(int64_t class_index);
  void merge(const ClassHistogram& other);  // kInput when the numbers of classes differ

  const std::vector<uint64_t>& counts() const { return counts_; }
  uint64_t missing() const { return missing_; }
  uint64_t total() const;  // rows, with those without an answer

  std::string serialize() const;
  static ClassHistogram deserialize(std::span<const uint8_t> bytes);
  bool operator==(const ClassHistogram& other) const = default;

 private:
  std::vector<uint64_t> counts_;
  uint64_t missing_ = 0;
};

}  // namespace sanderling
