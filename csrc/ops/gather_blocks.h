#pragma once

#include <algorithm>
#include <cstring>

#include "ops/parallel.h"

namespace sanderling {

// Fills `to` with `count` blocks of kBytes, of which block i is at source(i).
template <size_t kBytes, typename Source>
void gather_fixed_blocks(Workers& workers, int64_t count, std::byte* to, const Source& source) {
  for_each_range(workers, count, kStreamGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(to + static_cast<size_t>(i) * kBytes, source(i), kBytes);
  });
}

// The same for blocks of any size but 0. The work is shared by bytes, so that a few large blocks
// are too.
template <typename Source>
void gather_blocks(Workers& workers, int64_t count, size_t block_bytes, void* output,
                   const Source& source) {
  auto* const to = static_cast<std::byte*>(output);
  switch (block_bytes) {
    case 1:
      return gather_fixed_blocks<1>(workers, count, to, source);
    case 2:
      return gather_fixed_blocks<2>(workers, count, to, source);
    case 4:
      return gather_fixed_blocks<4>(workers, count, to, source);
    case 8:
      return gather_fixed_blocks<8>(workers, count, to, source);
  }
  const auto block = static_cast<int64_t>(block_bytes);
  for_each_range(workers, count * block, 4 * kStreamGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin / block; begin < end; ++i) {
      const int64_t skipped = begin - i * block;
      const int64_t bytes = std::min(block - skipped, end - begin);
      std::memcpy(to + begin, source(i) + skipped, static_cast<size_t>(bytes));
      begin += bytes;
    }
  });
}

}  // namespace sanderling
