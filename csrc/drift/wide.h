// Vectors written once: a template over the lane count, which the compiler lowers to one register.
// On x86 it is compiled for the baseline and for AVX2 and chosen at the call. GCC takes vectors
// wider than a register apart into scalars, so the lane count must be that of the target.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sanderling::wide {

constexpr size_t kBaselineLanes = 4;  // SSE2, NEON
constexpr size_t kAvx2Lanes = 8;

template <size_t kLanes>
struct Vector {
  using Floats [[gnu::vector_size(kLanes * sizeof(float))]] = float;
  using Ints [[gnu::vector_size(kLanes * sizeof(int32_t))]] = int32_t;
};

template <typename V>
[[gnu::always_inline]] inline void load(V& vector, const void* from) {
  std::memcpy(&vector, from, sizeof(V));
}

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
