#include "core/fork.h"

#include <pthread.h>

#include <cstddef>
#include <new>

#include "core/error.h"

namespace sanderling {
namespace {

std::atomic<uint32_t> number{0};

// Guards the first look of a child's threads at a mutex that came with it.
alignas(std::mutex) std::byte adopting_memory[sizeof(std::mutex)];
std::mutex& adopting = *new (adopting_memory) std::mutex;

// The child's only thread runs this before fork() returns.
void begin_child() {
  number.fetch_add(1, std::memory_order_relaxed);
  new (adopting_memory) std::mutex;  // the old one may be held by a thread that is not here
}

[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, begin_child);

}  // namespace

uint32_t process_number() { return number.load(std::memory_order_relaxed); }

void ForkMutex::adopt() {
  const std::lock_guard lock(adopting);
  if (process_.load(std::memory_order_relaxed) == process_number()) return;
  // Nobody locks it before it is adopted: who holds it now is no thread of this process.
  if (mutex_.try_lock())
    mutex_.unlock();
  else
    lost_ = true;
  process_.store(process_number(), std::memory_order_release);
}

void ForkMutex::fail_lost() const {
  fail(ErrorCode::kUnsupported, "[fork] another thread was using this ", what_,
       " when the process forked, and is not in the child. Make a new ", what_, " in the child");
}

}  // namespace sanderling
