// What the kernel tests share: guarded memory, numbers, and what "the same" means.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "core/tensor.h"
#include "kernels/kernel_table.h"

namespace sanderling::test {

// `kernels`: the names in kernels.inc that it tests, separated by spaces. `scalar` is what integer
// kernels must equal.
struct KernelTest {
  const char* kernels;
  void (*body)(const KernelTable& table, const KernelTable& scalar, uint64_t seed);
};
std::vector<KernelTest> product_tests();   // kernels_test_products.cc
std::vector<KernelTest> code_tests();      // kernels_test_codes.cc
std::vector<KernelTest> float_tests();     // kernels_test_floats.cc
std::vector<KernelTest> function_tests();  // kernels_test_functions.cc

// `count` elements and `slack` readable bytes that end where an unreadable page begins, so that the
// start is as unaligned as T allows. The page before is unreadable too, but the array rarely starts
// there.
template <typename T>
class Guarded {
 public:
  explicit Guarded(int64_t count, size_t slack = 0) : count_(count) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = static_cast<size_t>(count) * sizeof(T) + slack;
    const size_t pages = (bytes + page - 1) / page;
    mapped_ = (pages + 2) * page;
    base_ =
        static_cast<char*>(mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    SANDERLING_ASSERT(base_ != MAP_FAILED, mapped_);
    if (pages > 0) {
      const int denied = mprotect(base_ + page, pages * page, PROT_READ | PROT_WRITE);
      SANDERLING_ASSERT(denied == 0, mapped_);
    }
    data_ = reinterpret_cast<T*>(base_ + page + pages * page - bytes);
    memset(static_cast<void*>(data_), 0xA5, bytes);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(base_, mapped_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }
  int64_t size() const { return count_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

 private:
  int64_t count_;
  char* base_ = nullptr;
  size_t mapped_ = 0;
  T* data_ = nullptr;
};

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t in(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  double real(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(engine_);
  }
  template <typename T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[in(0, static_cast<int64_t>(values.size()) - 1)];
  }
  template <typename T>
  void fill_whole(Guarded<T>& out, int64_t low, int64_t high) {
    for (T& x : out) x = static_cast<T>(in(low, high));
  }
  void fill_real(Guarded<float>& out, double low, double high) {
    for (float& x : out) x = static_cast<float>(real(low, high));
  }

 private:
  std::mt19937_64 engine_;
};

// Around the vector widths of all ISAs (1, 4, 8, 16 lanes and panels of up to 64 columns), and
// primes.
inline const std::vector<int64_t>& interesting_sizes() {
  static const std::vector<int64_t> sizes = {0,  1,  2,  3,  4,  5,  6,  7,  8,   9,   11,  12, 13,
                                             15, 16, 17, 19, 23, 24, 25, 31, 32,  33,  37,  47, 48,
                                             49, 61, 63, 64, 65, 95, 96, 97, 127, 128, 129, 257};
  return sizes;
}

// The largest error of a float32 sum of `terms` products whose absolute values add up to
// `magnitude`, in any order and fused or not: each of the terms + 1 roundings costs at most half a
// unit in the last place, 2^-24, of no more than `magnitude`.
inline double float_tolerance(int64_t terms, double magnitude) {
  return static_cast<double>(terms + 1) * std::ldexp(magnitude, -24) * 1.01 + 1e-45;
}

inline bool same_bits(float a, float b) { return memcmp(&a, &b, sizeof(a)) == 0; }
// NaNs are all one; zeros are two.
inline bool same_float(float a, float b) { return same_bits(a, b) || (a != a && b != b); }

// `code` is right for the real value `steps` (in output steps, zero point not yet added): it is the
// code that rounding gives, or the value lies within 2^-12 of a tie and it is the other neighbour.
inline bool right_code(int code, double steps, int zero_point, int low, int high) {
  if (std::isnan(steps)) return code == low;
  const double clamped = std::fmin(std::fmax(steps, low - zero_point), high - zero_point);
  const double exact = std::nearbyint(clamped) + zero_point;
  if (code == exact) return true;
  const double from_tie = std::fabs(std::fabs(clamped - std::nearbyint(clamped)) - 0.5);
  return std::fabs(code - exact) == 1 && from_tie < std::ldexp(1.0, -12) && low <= code &&
         code <= high;
}

}  // namespace sanderling::test
