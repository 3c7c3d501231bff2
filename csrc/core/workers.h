#pragma once

#include <cstdint>
#include <memory>

#include "core/stop.h"

namespace sanderling {

// Runs a range of independent tasks, perhaps on several threads; exec/thread_pool.h is the real
// one.
class Workers {
 public:
  using Task = void (*)(const void* context, int64_t index, int thread);

  virtual ~Workers() = default;
  virtual int threads() const = 0;
  // Calls task(context, i, thread) once for each i in [0, count); thread is in [0, threads()).
  // Returns when all are done. Tasks do not throw. Which thread runs which index must not change
  // any result. Throws what check_stop() throws; some of the tasks may not have run then.
  virtual void run(int64_t count, Task task, const void* context) = 0;

  // for_each(n, [&](int64_t index, int thread) { ... }): no allocation, the callable is borrowed.
  template <typename Body>
  void for_each(int64_t count, const Body& body) {
    run(
        count,
        [](const void* context, int64_t index, int thread) {
          (*static_cast<const Body*>(context))(index, thread);
        },
        &body);
  }

  // Throws kCancelled or kDeadline if the run is to end: asked between the steps of a plan, so in
  // each iteration of a loop; what computes for long without tasks asks by itself.
  void check_stop() const {
    if (run_stop_) run_stop_->check();
  }

 protected:
  const Stop* run_stop_ = nullptr;  // of the run that is open
};

// The calling thread alone.
class InlineWorkers final : public Workers {
 public:
  int threads() const override { return 1; }
  void run(int64_t count, Task task, const void* context) override {
    for (int64_t i = 0; i < count; ++i) task(context, i, 0);
  }
};

}  // namespace sanderling
