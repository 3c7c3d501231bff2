#include "exec/thread_pool.h"

#include <system_error>

#include "core/error.h"

namespace sanderling {
namespace {

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A spinning thread gives its core away now and then: on a busy machine the one it waits for may
// need it.
constexpr int kPausesBeforeYield = 256;

class Spin {
 public:
  void once() {
    if (++pauses_ % kPausesBeforeYield == 0)
      std::this_thread::yield();
    else
      pause();
  }

 private:
  int pauses_ = 0;
};

constexpr uint64_t kGeneration = uint64_t{1} << 32;

}  // namespace

ThreadPool::ThreadPool(int threads) {
  SANDERLING_ASSERT(threads >= 1, threads);
  start(threads - 1);
}

void ThreadPool::start(int helpers) {
  try {
    for (int i = 1; i <= helpers; ++i) helpers_.emplace_back([this, i] { help(i); });
  } catch (const std::system_error& problem) {
    const size_t started = helpers_.size();
    end();
    fail(ErrorCode::kUnsupported, "[session] the system gives ", started, " of ", helpers,
         " more threads: ", problem.what(), ". Use fewer threads or fewer sessions");
  }
}

void ThreadPool::end() {
  stop_ = true;
  open_.fetch_add(2);  // still even: wakes the parked ones only to let them see stop_
  open_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
  helpers_.clear();
  stop_ = false;
}

// Helpers of the parent process are not in this one: their handles can be neither joined nor freed.
void ThreadPool::leave_behind() {
  static_cast<void>(new std::vector<std::thread>(std::move(helpers_)));
  helpers_.clear();
}

ThreadPool::~ThreadPool() {
  if (process_ != process_number()) leave_behind();
  end();
}

bool ThreadPool::take_and_run(uint64_t& ticket, int thread) {
  const int64_t count = count_.load(std::memory_order_relaxed);
  const Task task = task_.load(std::memory_order_relaxed);
  const void* context = context_.load(std::memory_order_relaxed);
  const auto index = static_cast<int64_t>(ticket & (kGeneration - 1));
  if (index >= count) return false;
  // Success proves that the ticket, and so the three loads above, belong to the current job.
  if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) return true;
  if (!stopping()) task(context, index, thread);
  done_.fetch_add(1, std::memory_order_release);
  ++ticket;
  return true;
}

void ThreadPool::run(int64_t count, Task task, const void* context) {
  if (count <= 1 || helpers_.empty()) {
    for (int64_t i = 0; i < count; ++i) {
      if (count > 1) check_stop();
      task(context, i, 0);
    }
    return;
  }
  SANDERLING_ASSERT(count < static_cast<int64_t>(kGeneration), count);
  // Close the old job before its parameters change: a helper that reads a mixture then fails its
  // compare-exchange.
  const uint64_t closed =
      (ticket_.load(std::memory_order_relaxed) / kGeneration + 1) * kGeneration + (kGeneration - 1);
  ticket_.store(closed, std::memory_order_seq_cst);
  done_.store(0, std::memory_order_relaxed);
  count_.store(count, std::memory_order_seq_cst);
  task_.store(task, std::memory_order_seq_cst);
  context_.store(context, std::memory_order_seq_cst);
  ticket_.store((closed / kGeneration + 1) * kGeneration, std::memory_order_release);

  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (take_and_run(ticket, 0)) ticket = ticket_.load(std::memory_order_acquire);
  Spin spin;
  while (done_.load(std::memory_order_acquire) < count) spin.once();
  check_stop();
}

void ThreadPool::help(int thread) {
  Spin spin;
  while (true) {
    // Before stop_: else the destructor could act between the two, and the wait be for ever.
    const uint32_t open = open_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_acquire)) return;
    if (open % 2 == 0) {
      open_.wait(open, std::memory_order_acquire);
      continue;
    }
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    if (!take_and_run(ticket, thread)) spin.once();
  }
}

ThreadPool::OpenRun::OpenRun(ThreadPool& pool, const Stop& stop) : pool_(pool) {
  if (pool_.process_ != process_number()) {
    const auto helpers = static_cast<int>(pool_.helpers_.size());
    pool_.leave_behind();
    pool_.process_ = process_number();
    pool_.start(helpers);
  }
  pool_.run_stop_ = &stop;
  if (pool_.helpers_.empty()) return;
  pool_.open_.fetch_add(1, std::memory_order_acq_rel);
  pool_.open_.notify_all();
}

ThreadPool::OpenRun::~OpenRun() {
  if (!pool_.helpers_.empty()) pool_.open_.fetch_add(1, std::memory_order_acq_rel);
  pool_.run_stop_ = nullptr;
}

}  // namespace sanderling
