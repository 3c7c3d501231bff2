#include "core/stop.h"

#include "core/error.h"

namespace sanderling {
namespace {

// A century: longer is no limit, and would overflow the clock.
constexpr double kLongest = 100.0 * 365 * 24 * 3600;

}  // namespace

Stop::Stop(const std::atomic<uint32_t>& cancels, std::optional<double> timeout_s)
    : cancels_(cancels), before_(cancels.load(std::memory_order_relaxed)) {
  if (!timeout_s) return;
  if (!(*timeout_s > 0))  // also a NaN
    sanderling::fail(ErrorCode::kInput, "[run] timeout_s is ", *timeout_s,
                     ", expected a positive number of seconds");
  if (*timeout_s > kLongest) return;
  timeout_s_ = *timeout_s;
  deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                 std::chrono::duration<double>(timeout_s_));
}

void Stop::fail() const {
  if (cancels_.load(std::memory_order_relaxed) != before_)
    sanderling::fail(ErrorCode::kCancelled,
                     "[run] the run was cancelled by cancel() of its session, which can run again");
  sanderling::fail(ErrorCode::kDeadline, "[run] the run did not end within ", timeout_s_,
                   " s. Give it more time, more threads or fewer rows");
}

}  // namespace sanderling
