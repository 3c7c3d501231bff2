// What a child process made by fork() does with the engine's objects: it has their memory, but of
// all threads only the one that forked.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace sanderling {

// Another number in a child than in its parent; costs a load.
uint32_t process_number();

// A mutex for what a child may go on using. One that another thread held when the process forked is
// lost to the child, with what it guards: there, locking throws kUnsupported instead of waiting for
// ever.
class ForkMutex {
 public:
  // `what` it guards, for that message: "session".
  explicit ForkMutex(const char* what) : what_(what), process_(process_number()) {}
  ForkMutex(const ForkMutex&) = delete;
  ForkMutex& operator=(const ForkMutex&) = delete;

  void lock() {
    check();
    mutex_.lock();
  }
  // False: the time came first.
  bool try_lock_until(std::chrono::steady_clock::time_point time) {
    check();
    return mutex_.try_lock_until(time);
  }
  void unlock() { mutex_.unlock(); }

 private:
  void check() {
    if (process_.load(std::memory_order_acquire) != process_number()) adopt();
    if (lost_) fail_lost();
  }
  void adopt();
  [[noreturn]] void fail_lost() const;

  const char* const what_;
  std::timed_mutex mutex_;
  std::atomic<uint32_t> process_;  // that has taken the mutex over
  bool lost_ = false;
};

}  // namespace sanderling
