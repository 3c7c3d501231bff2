#include "drift/code_histogram.h"

#include <algorithm>
#include <numeric>

#include "drift/bytes.h"

namespace sanderling {
namespace {

// Equal neighbours would wait for each other's store to the same counter (store forwarding takes
// 4-5 cycles), so four tables take turns. Below this size clearing and adding them costs more than
// it saves.
constexpr size_t kTablesFrom = 2048;
constexpr size_t kBlock = size_t{1} << 30;  // a 32-bit counter cannot overflow within a block

void count_block(std::span<const uint8_t> codes, std::array<uint64_t, 256>& counts) {
  std::array<std::array<uint32_t, 256>, 4> tables{};
  size_t i = 0;
  for (; i + 4 <= codes.size(); i += 4) {
    ++tables[0][codes[i]];
    ++tables[1][codes[i + 1]];
    ++tables[2][codes[i + 2]];
    ++tables[3][codes[i + 3]];
  }
  for (; i < codes.size(); ++i) ++tables[0][codes[i]];
  for (size_t code = 0; code < counts.size(); ++code) {
    for (const auto& table : tables) counts[code] += table[code];
  }
}

}  // namespace

void CodeHistogram::update(std::span<const uint8_t> codes) {
  if (codes.size() < kTablesFrom) {
    for (const uint8_t code : codes) ++counts_[code];
    return;
  }
  for (size_t begin = 0; begin < codes.size(); begin += kBlock) {
    count_block(codes.subspan(begin, std::min(kBlock, codes.size() - begin)), counts_);
  }
}

void CodeHistogram::merge(const CodeHistogram& other) {
  for (size_t code = 0; code < kCodes; ++code) counts_[code] += other.counts_[code];
}

uint64_t CodeHistogram::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0});
}

double CodeHistogram::saturation_share(bool is_signed) const {
  const uint64_t all = total();
  if (all == 0) return 0.0;
  const uint64_t ends = is_signed ? counts_[128] + counts_[127] : counts_[0] + counts_[255];
  return static_cast<double>(ends) / static_cast<double>(all);
}

std::string CodeHistogram::serialize() const {
  SketchWriter writer(SketchKind::kCodeHistogram);
  for (const uint64_t count : counts_) writer.put_count(count);
  return writer.finish();
}

CodeHistogram CodeHistogram::deserialize(std::span<const uint8_t> bytes) {
  SketchReader reader(bytes, SketchKind::kCodeHistogram, "code_histogram");
  CodeHistogram result;
  for (uint64_t& count : result.counts_) count = reader.count();
  reader.finish();
  return result;
}

}  // namespace sanderling
