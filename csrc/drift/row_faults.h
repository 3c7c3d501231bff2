#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace sanderling {

// What the sensor checks compare with, from the version's reference. A feature whose ends are NaN
// is not judged at them (it does not vary in the reference).
struct RowLimits {
  std::vector<float> low;   // per feature, the least value of the reference
  std::vector<float> high;  // per feature, the largest
  // A row counts as pinned when so many features sit at or beyond one and the same end; 0 judges no
  // row.
  uint32_t pinned_low = 0;
  uint32_t pinned_high = 0;
};

// What the sensor checks need to know about the rows of one window; it stays on the device. Merging
// two pieces of one window adds them; only the pair of rows at the seam is not compared.
class RowFaults {
 public:
  explicit RowFaults(std::shared_ptr<const RowLimits>
                         limits);  // kInput unless low and high have one and the same size > 0
  void update(std::span<const float>
                  rows);  // row-major [rows, features]; kInput when the size does not fit
  void merge(const RowFaults& other);  // kInput when the numbers of features differ

  size_t features() const { return least_.size(); }
  uint64_t rows() const { return rows_; }
  uint64_t pairs() const { return pairs_; }                      // of consecutive rows
  uint64_t identical_pairs() const { return identical_pairs_; }  // whose bytes are equal
  uint64_t rows_pinned_low() const { return rows_pinned_low_; }
  uint64_t rows_pinned_high() const { return rows_pinned_high_; }
  // Per feature, NaN apart; least > largest where nothing but NaN was seen. A feature is constant
  // in the window when both are equal. The counters are 32 bits wide: take a window long before
  // 2^32 rows.
  const std::vector<float>& least() const { return least_; }
  const std::vector<float>& largest() const { return largest_; }
  const std::vector<uint32_t>& at_low() const { return at_low_; }
  const std::vector<uint32_t>& at_high() const { return at_high_; }
  const std::vector<uint32_t>& missing() const { return missing_; }  // NaN

 private:
  std::shared_ptr<const RowLimits> limits_;
  uint64_t rows_ = 0;
  uint64_t pairs_ = 0;
  uint64_t identical_pairs_ = 0;
  uint64_t rows_pinned_low_ = 0;
  uint64_t rows_pinned_high_ = 0;
  std::vector<float> least_;
  std::vector<float> largest_;
  std::vector<uint32_t> at_low_;
  std::vector<uint32_t> at_high_;
  std::vector<uint32_t> missing_;
  std::vector<float> last_row_;
};

}  // namespace sanderling
