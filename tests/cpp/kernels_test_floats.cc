// Float kernels that round once, so their results are known to the last bit.
#include <algorithm>
#include <limits>

#include "kernels_test.h"

namespace sanderling::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

void fill_any(Random& random, Guarded<float>& out) {
  for (float& x : out) {
    x = static_cast<float>(random.real(-100, 100));
    if (random.in(0, 7) == 0)
      x = random.pick<float>({kNan, kInfinity, -kInfinity, 0.0f, -0.0f, 1e-45f, 3e38f, -3e38f});
  }
}

// A double holds the exact sum, difference or product of two floats, or enough of a quotient, to
// round once to float.
template <typename Exact>
void check_binary(void (*kernel)(const BinaryF32&), uint64_t seed, const Exact& exact) {
  Random random(seed);
  for (const int64_t count : interesting_sizes()) {
    for (const int64_t a_step : {0, 1}) {
      for (const int64_t b_step : {0, 1}) {
        Guarded<float> a(a_step == 0 ? 1 : count), b(b_step == 0 ? 1 : count), y(count);
        fill_any(random, a);
        fill_any(random, b);
        kernel({count, a.data(), a_step, b.data(), b_step, y.data()});
        for (int64_t j = 0; j < count; ++j) {
          const float x1 = a[j * a_step];
          const float x2 = b[j * b_step];
          const auto wanted = static_cast<float>(exact(double{x1}, double{x2}));
          CHECK(same_float(y[j], wanted), y[j], " instead of ", wanted, " for ", x1, " and ", x2);
        }
        if (a_step == 1) {
          kernel({count, a.data(), a_step, b.data(), b_step, a.data()});
          CHECK(memcmp(a.data(), y.data(), static_cast<size_t>(count) * sizeof(float)) == 0,
                "in place differs, ", count);
        }
      }
    }
  }
}

void add_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  check_binary(table.add_f32, seed, [](double a, double b) { return a + b; });
}
void sub_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  check_binary(table.sub_f32, seed, [](double a, double b) { return a - b; });
}
void mul_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  check_binary(table.mul_f32, seed, [](double a, double b) { return a * b; });
}
void div_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  check_binary(table.div_f32, seed, [](double a, double b) { return a / b; });
}

void clip_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  Random random(seed);
  for (const int64_t count : interesting_sizes()) {
    const float low = random.pick<float>({-kInfinity, 0.0f, -0.0f, -3.0f});
    const float high = random.pick<float>({kInfinity, 0.0f, 6.0f, -4.0f});
    Guarded<float> x(count), y(count);
    fill_any(random, x);
    table.clip_f32(x.data(), y.data(), count, low, high);
    for (int64_t j = 0; j < count; ++j) {
      const float wanted = low > high && x[j] == x[j] ? high
                           : x[j] < low               ? low
                           : x[j] > high              ? high
                                                      : x[j];
      CHECK(same_float(y[j], wanted), y[j], " instead of ", wanted, " for ", x[j], " in ", low,
            "..", high);
    }
    table.clip_f32(x.data(), x.data(), count, low, high);
    CHECK(memcmp(x.data(), y.data(), static_cast<size_t>(count) * sizeof(float)) == 0,
          "in place differs, ", count);
  }
}

void max_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  Random random(seed);
  for (const int64_t count : interesting_sizes()) {
    Guarded<float> x(count), y(count), before(count);
    fill_any(random, x);
    fill_any(random, before);
    std::copy(before.begin(), before.end(), y.begin());
    table.max_f32(x.data(), y.data(), count);
    for (int64_t j = 0; j < count; ++j) {
      const float wanted = x[j] > before[j] || std::isnan(x[j]) ? x[j] : before[j];
      CHECK(same_float(y[j], wanted), y[j], " instead of ", wanted, " for ", x[j], " over ",
            before[j]);
    }
  }
}

void accumulate_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  Random random(seed);
  for (const int64_t count : interesting_sizes()) {
    Guarded<float> x(count), y(count), before(count);
    fill_any(random, x);
    fill_any(random, before);
    std::copy(before.begin(), before.end(), y.begin());
    table.accumulate_f32(x.data(), y.data(), count);
    for (int64_t j = 0; j < count; ++j) {
      const auto wanted = static_cast<float>(double{before[j]} + double{x[j]});
      CHECK(same_float(y[j], wanted), y[j], " instead of ", wanted, " at ", j);
    }
  }
}

void sum_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  Random random(seed);
  for (int64_t count : interesting_sizes()) {
    if (count > 0) count += random.pick({int64_t{0}, int64_t{0}, int64_t{3000}});
    Guarded<float> x(count);
    random.fill_real(x, -100, 1000);
    double wanted = 0, magnitude = 0;
    for (const float each : x) {
      wanted += double{each};
      magnitude += std::fabs(double{each});
    }
    const double sum = table.sum_f32(x.data(), count);
    // 8 terms per lane, at most 16 lanes in 4 more additions.
    CHECK(std::fabs(sum - wanted) <= float_tolerance(11, magnitude), sum, " instead of ", wanted,
          " of ", count);
    if (count == 0) continue;
    x[random.in(0, count - 1)] = kNan;
    CHECK(std::isnan(table.sum_f32(x.data(), count)), "a NaN was lost, ", count);
  }
}

void count_nan_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  Random random(seed);
  for (const int64_t count : interesting_sizes()) {
    Guarded<float> x(count);
    fill_any(random, x);
    const auto wanted =
        std::count_if(x.begin(), x.end(), [](float value) { return std::isnan(value); });
    CHECK(table.count_nan_f32(x.data(), count) == wanted, table.count_nan_f32(x.data(), count),
          " instead of ", wanted);
    std::fill(x.begin(), x.end(), -kNan);
    CHECK(table.count_nan_f32(x.data(), count) == count, table.count_nan_f32(x.data(), count),
          " of ", count);
  }
}

}  // namespace

std::vector<KernelTest> float_tests() {
  return {{"add_f32", add_f32},
          {"sub_f32", sub_f32},
          {"mul_f32", mul_f32},
          {"div_f32", div_f32},
          {"clip_f32", clip_f32},
          {"max_f32", max_f32},
          {"accumulate_f32", accumulate_f32},
          {"sum_f32", sum_f32},
          {"count_nan_f32", count_nan_f32}};
}

}  // namespace sanderling::test
