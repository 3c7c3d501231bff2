#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "batch/policy.h"
#include "batch/stats.h"
#include "core/tensor.h"

namespace sanderling {

using BatchClock = std::chrono::steady_clock;

struct Request {
  std::shared_ptr<void> ticket;
  int64_t rows = 0;
  int64_t rows_queued = 0;  // not yet in a closed batch; guarded by the queue
  int64_t rows_left = 0;    // not yet run or failed; the batcher's thread only
  BatchClock::time_point submitted;
  std::vector<Tensor> outputs;
  std::exception_ptr error;
};

// Rows of one request in one batch.
struct Part {
  std::shared_ptr<Request> request;
  int64_t request_row = 0;
  int64_t batch_row = 0;
  int64_t rows = 0;
};

struct Batch {
  std::vector<Tensor> inputs;  // [capacity, ...] each
  std::vector<Part> parts;
  int64_t rows = 0;
  bool sealed = false;
  bool alone = false;  // one request with NaN: it is run to fail, and is no batch in the stats
  int copying = 0;     // submitters that still write their rows
  BatchClock::time_point oldest;

  int64_t capacity() const { return inputs[0].shape()[0]; }
  std::vector<TensorView> views(int64_t first_row, int64_t row_count) const;
};

// The requests that wait, as batches whose rows are already in place. Thread-safe.
class BatchQueue {
 public:
  static constexpr size_t kQueueTimes = 4096;

  explicit BatchQueue(const BatchPolicy& policy) : policy_(policy) {}

  // Copies the rows into batches before it returns. False: the queue is full, unless `wait` says to
  // wait for room. Throws kInput when closed. The inputs are checked; `alone`: they have NaN.
  bool submit(std::span<const TensorView> inputs, std::shared_ptr<void> ticket, bool alone,
              bool wait);
  // The next batch to run: waits for one to close. nullptr when the queue is closed and empty.
  std::unique_ptr<Batch> next();
  // Gives a batch's buffers back.
  void recycle(std::unique_ptr<Batch> batch);
  void close(bool drain);
  // After close(false): the requests that will not run.
  std::vector<std::shared_ptr<Request>> take_abandoned();
  BatchStats stats() const;

 private:
  Batch* find_open(std::span<const TensorView> inputs);
  std::unique_ptr<Batch> make_batch(std::span<const TensorView> inputs, int64_t capacity);
  std::vector<std::pair<Batch*, Part>> place(std::span<const TensorView> inputs,
                                             const std::shared_ptr<Request>& request, bool alone);
  std::unique_ptr<Batch> take(size_t index, CloseReason reason, std::unique_lock<std::mutex>& lock);

  const BatchPolicy policy_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;             // wakes the batcher's thread
  std::condition_variable room_;                // wakes submitters that wait for room
  std::condition_variable copied_;              // wakes the batcher's thread in take()
  std::deque<std::unique_ptr<Batch>> batches_;  // oldest first
  std::vector<std::unique_ptr<Batch>> spare_;   // buffers to use again
  int64_t waiting_ = 0;                         // requests with rows_queued
  bool closed_ = false;
  bool abandoning_ = false;
  BatchStats stats_;
  std::array<float, kQueueTimes> queue_us_{};  // a ring
  size_t queue_us_count_ = 0;
};

}  // namespace sanderling
