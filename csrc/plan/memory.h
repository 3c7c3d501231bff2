#pragma once

#include <cstddef>
#include <vector>

namespace sanderling {

// One buffer of a plan: its size and the first and last step (inclusive) that need its bytes.
struct BufferUse {
  size_t bytes;
  int first_step;
  int last_step;
};

struct MemoryPlan {
  std::vector<size_t>
      offsets;  // one per buffer, aligned to kAlignment, followed by kSlackBytes that may be read
  size_t total_bytes;
};

// Greedy by size: the largest buffer first, each into the smallest gap among those whose life
// overlaps (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).
MemoryPlan plan_memory(const std::vector<BufferUse>& buffers);

}  // namespace sanderling
