#include "drift/frozen_bins.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "drift/wide.h"

namespace sanderling {
namespace {

constexpr size_t kBlockFeatures = 16;  // a multiple of every lane count

// Counts `lanes` neighbouring features of kRows rows. The bin is the number of edges below the
// value, found by comparing with every edge: no branch, and for 31 edges faster than a search.
// Several rows share each load of an edge; edges (2 KB) and counters (4 KB) of a block stay in the
// first-level cache.
template <size_t kLanes, size_t kStride, size_t kRows>
[[gnu::always_inline]] inline void count_rows(const float* values, size_t row_stride, size_t lanes,
                                              const float* edges, size_t edge_count,
                                              uint64_t* counts) {
  using Ints = typename wide::Vector<kLanes>::Ints;
  typename wide::Vector<kLanes>::Floats value[kRows], edge;
  Ints bin[kRows];
#pragma GCC unroll 4
  for (size_t row = 0; row < kRows; ++row) {
    if (lanes == kLanes) {
      wide::load(value[row], values + row * row_stride);
    } else {  // never read past the last row
      float tail[kLanes] = {};
      std::memcpy(tail, values + row * row_stride, lanes * sizeof(float));
      wide::load(value[row], tail);
    }
    bin[row] = Ints{};
  }
  for (size_t i = 0; i < edge_count; ++i) {
    wide::load(edge, edges + i * kBlockFeatures);
#pragma GCC unroll 4
    for (size_t row = 0; row < kRows; ++row) bin[row] -= value[row] > edge;  // true is -1
  }
#pragma GCC unroll 4
  for (size_t row = 0; row < kRows; ++row) {
    // NaN is above no edge, so its bin is 0 until here; missing is the last counter.
    bin[row] |= (value[row] != value[row]) & static_cast<int32_t>(kStride - 1);
    int32_t bins[kLanes];
    std::memcpy(bins, &bin[row], sizeof(bins));
    for (size_t lane = 0; lane < lanes; ++lane)
      ++counts[lane * kStride + static_cast<size_t>(bins[lane])];
  }
}

template <size_t kLanes, size_t kStride>
[[gnu::always_inline]] inline void count_lanes(const float* values, size_t rows, size_t row_stride,
                                               size_t lanes, const float* edges, size_t edge_count,
                                               uint64_t* counts) {
  size_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    count_rows<kLanes, kStride, 4>(values + row * row_stride, row_stride, lanes, edges, edge_count,
                                   counts);
  }
  for (; row < rows; ++row) {
    count_rows<kLanes, kStride, 1>(values + row * row_stride, row_stride, lanes, edges, edge_count,
                                   counts);
  }
}

// One block: sixteen neighbouring features, fewer in the last one.
template <size_t kLanes, size_t kStride>
[[gnu::always_inline]] inline void count_block(const float* values, size_t rows, size_t row_stride,
                                               size_t features, const float* edges,
                                               size_t edge_count, uint64_t* counts) {
  size_t first = 0;
  for (; first + kLanes <= features; first += kLanes) {
    count_lanes<kLanes, kStride>(values + first, rows, row_stride, kLanes, edges + first,
                                 edge_count, counts + first * kStride);
  }
  if (first < features) {
    count_lanes<kLanes, kStride>(values + first, rows, row_stride, features - first, edges + first,
                                 edge_count, counts + first * kStride);
  }
}

template <size_t kStride>
void count_baseline(const float* values, size_t rows, size_t row_stride, size_t features,
                    const float* edges, size_t edge_count, uint64_t* counts) {
  count_block<wide::kBaselineLanes, kStride>(values, rows, row_stride, features, edges, edge_count,
                                             counts);
}

template <size_t kStride>
SANDERLING_AVX2 void count_avx2(const float* values, size_t rows, size_t row_stride,
                                size_t features, const float* edges, size_t edge_count,
                                uint64_t* counts) {
  count_block<wide::kAvx2Lanes, kStride>(values, rows, row_stride, features, edges, edge_count,
                                         counts);
}

}  // namespace

FrozenEdges::FrozenEdges(const ReferenceId& id, std::vector<std::vector<float>> edges)
    : id_(id), edges_(std::move(edges)) {
  if (edges_.empty() || edges_.size() > kMaxFeatures) {
    fail(ErrorCode::kInput, "[frozen_edges] ", edges_.size(), " features, 1 to ", kMaxFeatures,
         " are possible. Watch a larger tensor by projections.");
  }
  for (size_t feature = 0; feature < edges_.size(); ++feature) {
    const std::vector<float>& of = edges_[feature];
    if (of.size() > kMaxEdges) {
      fail(ErrorCode::kInput, "[frozen_edges] feature ", feature, " has ", of.size(),
           " edges, at most ", kMaxEdges, " are possible.");
    }
    for (size_t i = 0; i < of.size(); ++i) {
      if (!std::isfinite(of[i]) || (i > 0 && !(of[i - 1] < of[i]))) {
        fail(ErrorCode::kInput, "[frozen_edges] edge ", i, " of feature ", feature, " is ", of[i],
             ". Give finite edges, strictly ascending.");
      }
    }
  }
  for (size_t first = 0; first < edges_.size(); first += kBlockFeatures) {
    Block block;
    const size_t lanes = std::min(kBlockFeatures, edges_.size() - first);
    for (size_t lane = 0; lane < lanes; ++lane)
      block.edges = std::max(block.edges, edges_[first + lane].size());
    block.values.assign(block.edges * kBlockFeatures, std::numeric_limits<float>::infinity());
    for (size_t lane = 0; lane < lanes; ++lane) {
      const std::vector<float>& of = edges_[first + lane];
      for (size_t i = 0; i < of.size(); ++i) block.values[i * kBlockFeatures + lane] = of[i];
    }
    blocks_.push_back(std::move(block));
  }
}

FrozenBins::FrozenBins(std::shared_ptr<const FrozenEdges> edges) : edges_(std::move(edges)) {
  SANDERLING_ASSERT(edges_ != nullptr, "frozen bins without edges");
  id_ = edges_->id();
  for (size_t feature = 0; feature < edges_->features(); ++feature) {
    bins_.push_back(static_cast<uint8_t>(edges_->bins(feature)));
  }
  counts_.resize(bins_.size() * kStride);
}

void FrozenBins::update(std::span<const float> rows) {
  if (edges_ == nullptr) {
    fail(ErrorCode::kInput,
         "[frozen_bins] these counts came without their edges. Count into bins made from the "
         "reference, then merge.");
  }
  if (rows.size() % features() != 0) {
    fail(ErrorCode::kInput, "[frozen_bins] ", rows.size(), " values are no rows of ", features(),
         " features. Give a row-major array [rows, features].");
  }
  const size_t count = rows.size() / features();
  const auto count_rows = wide::has_avx2() ? count_avx2<kStride> : count_baseline<kStride>;
  for (size_t block = 0; block < edges_->blocks_.size(); ++block) {
    const size_t first = block * kBlockFeatures;
    const FrozenEdges::Block& edges = edges_->blocks_[block];
    count_rows(rows.data() + first, count, features(), std::min(kBlockFeatures, features() - first),
               edges.values.data(), edges.edges, counts_.data() + first * kStride);
  }
  rows_ += count;
}

void FrozenBins::merge(const FrozenBins& other) {
  if (id_ != other.id_ || bins_ != other.bins_) {
    fail(ErrorCode::kInput, "[frozen_bins] counts of reference ", to_string(id_), " (", features(),
         " features) and of ", to_string(other.id_), " (", other.features(),
         ") do not add. Merge only counts of one reference; across devices split them into rank "
         "cells first.");
  }
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  rows_ += other.rows_;
}

std::string FrozenBins::serialize() const {
  SketchWriter writer(SketchKind::kFrozenBins);
  writer.put_bytes(id_);
  writer.put_count(features());
  writer.put_bytes(bins_);
  writer.put_count(rows_);
  for (size_t feature = 0; feature < features(); ++feature) {
    for (const uint64_t count : counts(feature)) writer.put_count(count);
    writer.put_count(missing(feature));
  }
  return writer.finish();
}

FrozenBins FrozenBins::deserialize(std::span<const uint8_t> bytes) {
  SketchReader reader(bytes, SketchKind::kFrozenBins, "frozen_bins");
  FrozenBins result;
  reader.copy(result.id_);
  result.bins_.resize(reader.size(FrozenEdges::kMaxFeatures));
  reader.copy(result.bins_);
  if (result.bins_.empty()) reader.damaged("no features");
  result.rows_ = reader.count();
  result.counts_.resize(result.features() * kStride);
  for (size_t feature = 0; feature < result.features(); ++feature) {
    const size_t bins = result.bins_[feature];
    if (bins < 1 || bins > kMaxBins)
      reader.damaged(cat("feature ", feature, " has ", bins, " bins"));
    uint64_t sum = 0;
    bool over = false;
    for (size_t i = 0; i <= bins; ++i) {
      const uint64_t count = reader.count();
      result.counts_[feature * kStride + (i < bins ? i : kMissing)] = count;
      over = over || count > result.rows_ - sum;
      sum += count;
      if (over) break;
    }
    if (over || sum != result.rows_) {
      reader.damaged(
          cat("the counts of feature ", feature, " do not add up to ", result.rows_, " rows"));
    }
  }
  reader.finish();
  return result;
}

bool FrozenBins::operator==(const FrozenBins& other) const {
  return id_ == other.id_ && bins_ == other.bins_ && rows_ == other.rows_ &&
         counts_ == other.counts_;
}

}  // namespace sanderling
