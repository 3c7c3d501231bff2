// When a batch closes, and why: rules without threads, clocks or tensors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sanderling {

struct BatchPolicy {
  int64_t max_batch_size = 8;      // rows
  int64_t max_queue_delay_us = 0;  // longest wait for others; 0: batch what queued while busy
  int64_t max_queue_size = 64;     // requests that wait; those in the running batch do not count
};

// Throws kInput unless every setting is in range.
void check_policy(const BatchPolicy& policy);

enum class CloseReason : uint8_t {
  kFull,   // it has max_batch_size rows, or the next request does not fit
  kDelay,  // its oldest request has waited max_queue_delay_us
  kIdle,   // nothing runs, and the policy has no delay
  kDrain,  // the batcher closes
};
inline constexpr std::array kCloseReasons{CloseReason::kFull, CloseReason::kDelay,
                                          CloseReason::kIdle, CloseReason::kDrain};
std::string_view name_of(CloseReason reason);  // "full"

struct BatchState {
  int64_t rows = 0;       // at least 1
  bool sealed = false;    // the next request did not fit
  int64_t waited_us = 0;  // by its oldest request
  bool executor_idle = false;
  bool draining = false;
};

struct Decision {
  std::optional<CloseReason> close;  // what to do now, if anything
  // Else: ask again after so long, or (nullopt) when the state changes.
  std::optional<int64_t> wait_us;
};

Decision decide(const BatchPolicy& policy, const BatchState& state);

// How many of the next `rows` rows of a request go into a batch that has `batch_rows`; 0 seals the
// batch. A request is cut only if it is larger than a whole batch.
int64_t rows_to_add(const BatchPolicy& policy, int64_t batch_rows, int64_t request_rows,
                    int64_t rows);

}  // namespace sanderling
