/* A malloc that counts: linked into a program, or preloaded into one (LD_PRELOAD). */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t items, size_t bytes);
void* __libc_realloc(void* old, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);

static atomic_ulong count;
unsigned long count_allocations(void) { return count; }

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
