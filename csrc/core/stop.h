#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

namespace sanderling {

// When one run is to end early: at its deadline, or as soon as `cancels` is counted up. Asking
// costs a load; only a run with a deadline reads the clock.
class Stop {
 public:
  using Clock = std::chrono::steady_clock;

  // `cancels` must outlive it. Throws kInput unless `timeout_s` is positive.
  Stop(const std::atomic<uint32_t>& cancels, std::optional<double> timeout_s);

  bool due() const {
    return cancels_.load(std::memory_order_relaxed) != before_ ||
           (deadline_ && Clock::now() >= *deadline_);
  }
  // Throws kCancelled or kDeadline if it is due.
  void check() const {
    if (due()) fail();
  }
  const std::optional<Clock::time_point>& deadline() const { return deadline_; }

 private:
  [[noreturn]] void fail() const;

  const std::atomic<uint32_t>& cancels_;
  const uint32_t before_;
  double timeout_s_ = 0.0;
  std::optional<Clock::time_point> deadline_;
};

}  // namespace sanderling
