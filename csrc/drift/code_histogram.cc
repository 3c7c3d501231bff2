#include "drift/code_histogram.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "drift/bytes.h"

namespace sanderling {
namespace {

constexpr size_t kCounterFrom =
    2048;  // clearing and adding a counter's 4 KB takes as long as this many codes
constexpr size_t kBlock = size_t{1} << 30;
static_assert(kBlock <= CodeCounter::kMaxCodes);

}  // namespace

void CodeCounter::update(std::span<const uint8_t> codes) {
  SANDERLING_ASSERT(codes.size() <= kMaxCodes - codes_, codes.size());
  size_t i = 0;
  for (; i + 4 <= codes.size(); i += 4) {
    ++tables_[0][codes[i]];
    ++tables_[1][codes[i + 1]];
    ++tables_[2][codes[i + 2]];
    ++tables_[3][codes[i + 3]];
  }
  for (; i < codes.size(); ++i) ++tables_[0][codes[i]];
  codes_ += codes.size();
}

uint64_t CodeCounter::count(size_t code) const {
  uint64_t sum = 0;
  for (const auto& table : tables_) sum += table[code];
  return sum;
}

void CodeCounter::clear() {
  for (auto& table : tables_) table.fill(0);
  codes_ = 0;
}

void CodeHistogram::update(std::span<const uint8_t> codes) {
  if (codes.size() < kCounterFrom) {
    for (const uint8_t code : codes) ++counts_[code];
    return;
  }
  for (size_t begin = 0; begin < codes.size(); begin += kBlock) {
    CodeCounter counter;
    counter.update(codes.subspan(begin, std::min(kBlock, codes.size() - begin)));
    add(counter);
  }
}

void CodeHistogram::add(const CodeCounter& counter) {
  for (size_t code = 0; code < kCodes; ++code) counts_[code] += counter.count(code);
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
