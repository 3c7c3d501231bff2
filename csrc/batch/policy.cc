#include "batch/policy.h"

#include <algorithm>

#include "core/error.h"

namespace sanderling {
namespace {

constexpr int64_t kMaxRows = 1 << 20;
constexpr int64_t kMaxRequests = 1 << 20;
constexpr int64_t kMaxDelayUs = 60'000'000;  // a minute: above it, milliseconds were meant

void check_range(std::string_view name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high)
    fail(ErrorCode::kInput, "[batcher] ", name, " is ", value, ", expected ", low, " to ", high);
}

}  // namespace

void check_policy(const BatchPolicy& policy) {
  check_range("max_batch_size", policy.max_batch_size, 1, kMaxRows);
  check_range("max_queue_delay_us", policy.max_queue_delay_us, 0, kMaxDelayUs);
  check_range("max_queue_size", policy.max_queue_size, 1, kMaxRequests);
}

std::string_view name_of(CloseReason reason) {
  switch (reason) {
    case CloseReason::kFull:
      return "full";
    case CloseReason::kDelay:
      return "delay";
    case CloseReason::kIdle:
      return "idle";
    case CloseReason::kDrain:
      return "drain";
  }
  return "";
}

Decision decide(const BatchPolicy& policy, const BatchState& state) {
  if (state.sealed || state.rows >= policy.max_batch_size) return {CloseReason::kFull, {}};
  if (!state.executor_idle) return {};
  if (state.draining) return {CloseReason::kDrain, {}};
  if (policy.max_queue_delay_us == 0) return {CloseReason::kIdle, {}};
  if (state.waited_us >= policy.max_queue_delay_us) return {CloseReason::kDelay, {}};
  return {{}, policy.max_queue_delay_us - state.waited_us};
}

int64_t rows_to_add(const BatchPolicy& policy, int64_t batch_rows, int64_t request_rows,
                    int64_t rows) {
  const int64_t room = policy.max_batch_size - batch_rows;
  if (rows <= room) return rows;
  return request_rows > policy.max_batch_size ? room : 0;
}

}  // namespace sanderling
