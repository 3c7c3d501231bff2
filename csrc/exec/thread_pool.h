#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "core/fork.h"
#include "core/workers.h"

namespace sanderling {

// Threads that spin only while a run is open and are parked in the kernel otherwise, so that an
// idle session uses no CPU. The caller of run() is thread 0. One run at a time (the session's mutex
// sees to it). A child made by fork() starts threads of its own at its first run.
class ThreadPool final : public Workers {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const override { return static_cast<int>(helpers_.size()) + 1; }
  void run(int64_t count, Task task, const void* context) override;

  // While one of these lives, helpers spin for work instead of parking, and jobs end early when
  // `stop` is due.
  class OpenRun {
   public:
    OpenRun(ThreadPool& pool, const Stop& stop);
    ~OpenRun();
    OpenRun(const OpenRun&) = delete;
    OpenRun& operator=(const OpenRun&) = delete;

   private:
    ThreadPool& pool_;
  };

 private:
  void start(int helpers);
  void end();
  void leave_behind();
  void help(int thread);
  bool stopping() const { return run_stop_ && run_stop_->due(); }
  bool take_and_run(uint64_t& ticket, int thread);

  // Generation in the upper half, next task index in the lower: one compare-exchange claims a task
  // of the current job only, so a helper that wakes late can never touch a later job with an older
  // job's parameters.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<int64_t> count_{0};
  std::atomic<Task> task_{nullptr};
  std::atomic<const void*> context_{nullptr};
  std::atomic<int64_t> done_{0};
  std::atomic<uint32_t> open_{0};  // odd while a run is open; helpers park on it while it is even
  std::atomic<bool> stop_{false};
  std::vector<std::thread> helpers_;
  uint32_t process_ = process_number();  // that has the helpers
};

}  // namespace sanderling
