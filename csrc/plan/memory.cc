#include "plan/memory.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/tensor.h"

namespace sanderling {

MemoryPlan plan_memory(const std::vector<BufferUse>& buffers) {
  const auto padded = [&](size_t i) {
    return (buffers[i].bytes + kSlackBytes + kAlignment - 1) / kAlignment * kAlignment;
  };
  std::vector<size_t> by_size(buffers.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return buffers[a].bytes > buffers[b].bytes; });

  MemoryPlan plan{std::vector<size_t>(buffers.size(), 0), 0};
  std::vector<size_t> placed;  // sorted by offset
  for (size_t i : by_size) {
    size_t best_offset = 0;
    size_t best_gap = std::numeric_limits<size_t>::max();
    size_t end = 0;  // of the overlapping buffers seen so far
    for (size_t j : placed) {
      if (buffers[j].last_step < buffers[i].first_step ||
          buffers[i].last_step < buffers[j].first_step)
        continue;
      if (plan.offsets[j] >= end + padded(i) && plan.offsets[j] - end < best_gap) {
        best_gap = plan.offsets[j] - end;
        best_offset = end;
      }
      end = std::max(end, plan.offsets[j] + padded(j));
    }
    if (best_gap == std::numeric_limits<size_t>::max()) best_offset = end;
    plan.offsets[i] = best_offset;
    plan.total_bytes = std::max(plan.total_bytes, best_offset + padded(i));
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), i,
                         [&](size_t a, size_t b) { return plan.offsets[a] < plan.offsets[b]; }),
        i);
  }
  return plan;
}

}  // namespace sanderling
