// Sixteen lanes at once, written once: the compiler lowers them to one, two or four registers. A
// function marked SANDERLING_WIDE is compiled twice on x86, for the baseline and for AVX2, and the
// loader's choice is made at the call. The sketches only compare and count, so all ISAs give the
// same numbers; floats are only ever added in a stated order.
#pragma once

#include <cstdint>
#include <cstring>

namespace sanderling::wide {

constexpr size_t kLanes = 16;
using Floats [[gnu::vector_size(kLanes * sizeof(float))]] = float;
using Ints [[gnu::vector_size(kLanes * sizeof(int32_t))]] = int32_t;

#if defined(__x86_64__)
#define SANDERLING_AVX2 __attribute__((target("avx2")))
inline bool has_avx2() {
  static const bool found = __builtin_cpu_supports("avx2");
  return found;
}
#else
#define SANDERLING_AVX2
inline bool has_avx2() { return false; }
#endif

}  // namespace sanderling::wide
