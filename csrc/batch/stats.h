#pragma once

#include <array>
#include <cstdint>

#include "batch/policy.h"

namespace sanderling {

// What a batcher did since it was made.
struct BatchStats {
  int64_t requests = 0;  // accepted
  int64_t rows = 0;      // of them
  int64_t rejected = 0;  // found the queue full
  int64_t waiting = 0;   // in the queue now
  int64_t batches = 0;
  int64_t batched_rows = 0;
  std::array<int64_t, kCloseReasons.size()> closed{};  // batches by reason
  // From submission to the run of the first row, over the latest BatchQueue::kQueueTimes requests.
  double queue_p50_us = 0;
  double queue_p99_us = 0;
};

}  // namespace sanderling
