#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "batch/policy.h"
#include "batch/stats.h"
#include "core/fork.h"
#include "core/tensor.h"
#include "exec/input_check.h"

namespace sanderling {

// What runs batches. Called by the batcher's own thread only.
class BatchRunner {
 public:
  virtual ~BatchRunner() = default;
  // Inputs [rows, ...] to outputs [rows, ...]; the views it returns stay valid until the next call.
  virtual std::vector<TensorView> run(std::span<const TensorView> inputs) = 0;
};

// What became of a request: outputs, an error, or neither (closed without drain).
struct Finished {
  std::shared_ptr<void> ticket;
  std::vector<Tensor> outputs;  // [rows of the request, ...] each
  std::exception_ptr error;
};

// Gathers the rows of many requests into batches, runs them on one thread of its own and hands out
// the results. Thread-safe. Requests are not mixed with those of another row shape, nor are those
// with NaN, which only fail alone; a request larger than a batch is cut and joined again. Its
// thread stays in the process that made it: in a child made by fork() it takes no requests
// (kUnsupported).
class Batcher {
 public:
  // Called by the batcher's thread, at most once per batch, without a lock; must not throw.
  using Deliver = std::function<void(std::vector<Finished>)>;

  // Throws kInput for a policy out of range and kUnsupported for a model whose batch is fixed.
  Batcher(InputCheck check, std::unique_ptr<BatchRunner> runner, BatchPolicy policy,
          Deliver deliver);
  ~Batcher();  // close(false), but never waits for itself
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // Copies the rows before it returns. False: the queue is full, unless `wait` says to wait for
  // room. Throws kInput for inputs that do not fit, or when closed; `ticket` is then not delivered.
  bool submit(std::span<const TensorView> inputs, std::shared_ptr<void> ticket, bool wait);
  BatchStats stats() const;
  // Refuses new requests, runs (or, without drain, gives up) those that wait, and waits for the
  // thread to end; called by that thread itself, from Deliver, it does not wait.
  void close(bool drain);
  bool on_own_thread() const { return std::this_thread::get_id() == thread_id_; }

 private:
  struct Work;

  bool is_here() const { return process_ == process_number(); }
  void require_here() const;

  const uint32_t process_ = process_number();
  std::shared_ptr<Work> work_;  // the thread has a share: it may outlive the batcher by a moment
  std::mutex join_mutex_;
  std::thread thread_;
  std::thread::id thread_id_;
};

}  // namespace sanderling
