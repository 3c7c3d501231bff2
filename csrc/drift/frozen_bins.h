#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "drift/bytes.h"

namespace sanderling {

// The bins that a reference froze: per feature at most 31 edges, strictly ascending and finite. Bin
// b of a feature holds the values above edge b-1 up to and including edge b; the last one is open
// above, NaN is missing.
class FrozenEdges {
 public:
  static constexpr size_t kMaxEdges = 31;
  static constexpr size_t kMaxFeatures = 4096;

  // kInput when a rule above is broken or there are no or more than kMaxFeatures features.
  FrozenEdges(const ReferenceId& id, std::vector<std::vector<float>> edges);

  const ReferenceId& id() const { return id_; }
  size_t features() const { return edges_.size(); }
  const std::vector<float>& edges(size_t feature) const { return edges_[feature]; }
  size_t bins(size_t feature) const { return edges_[feature].size() + 1; }

 private:
  friend class FrozenBins;
  // Sixteen features side by side, as the counting loop reads them: [edge][lane], padded with +inf.
  struct Block {
    size_t edges = 0;
    std::vector<float> values;
  };
  ReferenceId id_;
  std::vector<std::vector<float>> edges_;
  std::vector<Block> blocks_;
};

// How often each bin of each feature occurred, exactly. Merging adds. 33 counters a feature in
// memory, about one byte per bin in use and feature when serialized.
class FrozenBins {
 public:
  static constexpr size_t kMaxBins = FrozenEdges::kMaxEdges + 1;

  explicit FrozenBins(std::shared_ptr<const FrozenEdges> edges);
  // Row-major [rows, features]. kInput when the size is no multiple of the features, or the edges
  // did not come along (a deserialized sketch adds, it does not count).
  void update(std::span<const float> rows);
  // kInput unless both come from the same reference.
  void merge(const FrozenBins& other);

  const ReferenceId& id() const { return id_; }
  size_t features() const { return bins_.size(); }
  size_t bins(size_t feature) const { return bins_[feature]; }
  uint64_t rows() const { return rows_; }
  std::span<const uint64_t> counts(size_t feature) const {
    return {counts_.data() + feature * kStride, bins_[feature]};
  }
  uint64_t missing(size_t feature) const { return counts_[feature * kStride + kMissing]; }

  // Only the counts travel; the edges are the reference's, which the receiver has.
  std::string serialize() const;
  static FrozenBins deserialize(std::span<const uint8_t> bytes);
  bool operator==(const FrozenBins& other) const;

 private:
  static constexpr size_t kMissing = kMaxBins;  // the slot after the last bin counts NaN
  static constexpr size_t kStride = kMaxBins + 1;

  FrozenBins() = default;

  std::shared_ptr<const FrozenEdges> edges_;
  ReferenceId id_{};
  std::vector<uint8_t> bins_;  // per feature
  uint64_t rows_ = 0;
  std::vector<uint64_t> counts_;  // [features][kStride]
};

}  // namespace sanderling
