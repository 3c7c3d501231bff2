// A program that links this file has its own malloc, which counts and asks glibc's. A sanitizer has
// a malloc too, and offers a hook in it instead.
#include "allocations.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace {

std::atomic<size_t> count{0};

}  // namespace

namespace sanderling {

size_t allocations() { return count.load(); }

}  // namespace sanderling

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*,
                                                                           size_t),
                                                         void (*on_free)(const volatile void*));

[[maybe_unused]] static const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { ++count; }, [](const volatile void*) {});

#else

extern "C" {

void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t items, size_t bytes);
void* __libc_realloc(void* old, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);

void* malloc(size_t bytes) {
  ++count;
  return __libc_malloc(bytes);
}
void* calloc(size_t items, size_t bytes) {
  ++count;
  return __libc_calloc(items, bytes);
}
void* realloc(void* old, size_t bytes) {
  ++count;
  return __libc_realloc(old, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  ++count;
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** made, size_t alignment, size_t bytes) {
  *made = memalign(alignment, bytes);
  return *made ? 0 : ENOMEM;
}

}  // extern "C"

#endif
