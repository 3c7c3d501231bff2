#pragma once

#include <algorithm>

#include "core/workers.h"

namespace sanderling {

// Elements that one task takes of work that streams through memory: at about 1 ns an element it is
// ten times the cost of waking a worker (0.1 to 5 us), and a multiple of every cache line and
// vector.
constexpr int64_t kStreamGrain = 32768;
// The same for functions of about 10 ns an element, such as exp.
constexpr int64_t kFunctionGrain = 4096;

// Calls body(begin, end) for ranges that cover [0, count), each of `grain` elements but for the
// last.
template <typename Body>
void for_each_range(Workers& workers, int64_t count, int64_t grain, const Body& body) {
  if (count <= grain || workers.threads() == 1) {
    if (count > 0) body(int64_t{0}, count);
    return;
  }
  workers.for_each((count + grain - 1) / grain, [&](int64_t range, int /*thread*/) {
    body(range * grain, std::min(count, (range + 1) * grain));
  });
}

}  // namespace sanderling
