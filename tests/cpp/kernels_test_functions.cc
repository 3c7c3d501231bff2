// exp and what is made of it, and softmax: errors in units in the last place against double.
#include <algorithm>
#include <limits>

#include "kernels_test.h"

namespace sanderling::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The distance between floats near x.
double unit_of(double x) {
  int exponent;
  std::frexp(x, &exponent);
  return std::ldexp(1.0, std::max(exponent - 24, -149));
}

// All exponents and both signs, `per_exponent` floats of each, and the ends.
std::vector<float> sample(Random& random, int per_exponent) {
  std::vector<float> all = {0.0f, -0.0f, kInfinity, -kInfinity, kNan, -kNan, 1e-45f, -1e-45f};
  for (int exponent = -149; exponent < 128; ++exponent)
    for (int i = 0; i < per_exponent; ++i) {
      const double size = std::ldexp(random.real(1, 2), exponent);
      all.push_back(static_cast<float>(random.in(0, 1) == 0 ? size : -size));
    }
  // Where the functions are neither flat nor straight.
  for (int i = 0; i < 200 * per_exponent; ++i)
    all.push_back(static_cast<float>(random.real(-15, 15)));
  return all;
}

// `ulps(x)`: how many units the kernel may err at x.
template <typename Kernel, typename Exact, typename Bound>
void check_function(const Kernel& kernel, uint64_t seed, const Exact& exact, const Bound& ulps) {
  Random random(seed);
  const std::vector<float> numbers = sample(random, 40);
  const auto count = static_cast<int64_t>(numbers.size());
  Guarded<float> x(count), y(count);
  std::copy(numbers.begin(), numbers.end(), x.begin());
  kernel(x.data(), y.data(), count);
  for (int64_t i = 0; i < count; ++i) {
    const double wanted = exact(double{x[i]});
    if (!std::isfinite(static_cast<float>(wanted))) {
      CHECK(same_float(y[i], static_cast<float>(wanted)), y[i], " instead of ", wanted, " for ",
            x[i]);
      continue;
    }
    const double units = std::fabs(double{y[i]} - wanted) / unit_of(wanted);
    CHECK(units <= ulps(double{x[i]}), y[i], " errs by ", units, " units for ", x[i]);
    CHECK(wanted != 0 || std::signbit(y[i]) == std::signbit(wanted), "sign of 0 for ", x[i]);
  }
  // An element has the same bits wherever it stands, and nothing beyond the array is touched.
  for (const int64_t part : interesting_sizes()) {
    Guarded<float> to(part);
    const int64_t begin = random.in(0, count - part);
    kernel(x.data() + begin, to.data(), part);
    for (int64_t i = 0; i < part; ++i)
      CHECK(same_float(to[i], y[begin + i]), to[i], " and ", y[begin + i], " for ", x[begin + i]);
    std::copy_n(x.data() + begin, part, to.data());
    kernel(to.data(), to.data(), part);
    for (int64_t i = 0; i < part; ++i)
      CHECK(same_float(to[i], y[begin + i]), "in place differs for ", x[begin + i]);
  }
}

auto constant(double ulps) {
  return [ulps](double) { return ulps; };
}

double swish(double x, double factor) { return x / (1.0 + std::exp(-factor * x)); }

// A product of x and a power below 2^-126: the power errs by half a unit of subnormal floats, the
// result by x of them.
double subnormal_power(double x, double exponent) {
  return exponent < -87.0 ? std::fmin(std::fabs(x), 200.0) : 0.0;
}

void exp_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  check_function(table.exp_f32, seed, [](double x) { return std::exp(x); }, constant(1.1));
}
void sigmoid_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  check_function(
      table.sigmoid_f32, seed,
      [](double x) { return std::exp(std::fmin(x, 0.0)) / (1.0 + std::exp(-std::fabs(x))); },
      constant(3.0));
}
void tanh_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  check_function(table.tanh_f32, seed, [](double x) { return std::tanh(x); }, constant(4.0));
}
void erf_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  check_function(table.erf_f32, seed, [](double x) { return std::erf(x); }, constant(2.0));
}
void gelu_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  check_function(
      table.gelu_f32, seed, [](double x) { return 0.5 * x * std::erfc(-x * std::sqrt(0.5)); },
      [](double x) { return 8.0 + subnormal_power(x, -0.5 * x * x); });
}
// The rounding of exp's argument is as much of the result as the argument is large.
void tanh_gelu_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  const auto twice = [](double x) { return 1.5957691216057308 * (x + 0.044715 * x * x * x); };
  check_function(
      table.tanh_gelu_f32, seed, [&](double x) { return x / (1.0 + std::exp(-twice(x))); },
      [&](double x) {
        return 4.0 + 3.0 * std::fmin(std::fabs(twice(x)), 110.0) * (x < 0 ? 1 : 0) +
               subnormal_power(x, twice(x));
      });
}
void swish_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  for (const float factor : {1.0f, 1.702f, -0.5f})
    check_function(
        [&](const float* x, float* y, int64_t count) { table.swish_f32(x, y, count, factor); },
        seed, [&](double x) { return swish(x, double{factor}); },
        [&](double x) {
          const double v = double{factor} * x;
          return 4.0 + (factor == 1.0f ? 0.0 : 2.0 * std::fmin(std::fabs(v), 110.0)) +
                 subnormal_power(x, v);
        });
}

// Rows of numbers, and what makes a whole row NaN.
template <typename Check>
void for_each_row(uint64_t seed, const Check& check) {
  Random random(seed);
  std::vector<int64_t> sizes = interesting_sizes();
  sizes.push_back(5000);
  for (const int64_t count : sizes)
    for (const float spoiler : {0.0f, -kInfinity, -1e30f, kNan, kInfinity}) {
      Guarded<float> x(count);
      random.fill_real(x, -30, 30);
      if (count > 0) x[random.in(0, count - 1)] = spoiler;
      check(x);
      std::fill(x.begin(), x.end(), spoiler);
      check(x);
    }
}

double sum_of(const Guarded<float>& x, double largest) {
  double sum = 0.0;
  for (int64_t i = 0; i < x.size(); ++i) sum += std::exp(double{x[i]} - largest);
  return sum;
}

void softmax(const KernelTable& table, const KernelTable&, uint64_t seed) {
  for_each_row(seed, [&](Guarded<float>& x) {
    const int64_t count = x.size();
    float largest = -kInfinity;
    for (const float each : x) largest = each > largest ? each : largest;
    CHECK(table.largest_f32(x.data(), count) == largest, "largest of ", count);
    const double wanted_sum = sum_of(x, double{largest});
    const double sum = table.sum_exp_f32(x.data(), count, largest);
    CHECK((std::isnan(sum) && std::isnan(wanted_sum)) ||
              std::fabs(sum - wanted_sum) <= 1e-6 * wanted_sum,
          sum, " instead of ", wanted_sum, " of ", count);
    Guarded<float> y(count);
    table.softmax_f32(x.data(), y.data(), count, largest);
    for (int64_t i = 0; i < count; ++i) {
      const double wanted = std::exp(double{x[i]} - double{largest}) / wanted_sum;
      // Half a unit of x - largest, at most 2^7, is 2^-18 of its power.
      CHECK(std::isnan(wanted) ? std::isnan(y[i])
                               : std::fabs(double{y[i]} - wanted) <= 6e-6 * wanted + 2e-38,
            y[i], " instead of ", wanted, " for ", x[i], " in ", count);
    }
    table.softmax_f32(x.data(), x.data(), count, largest);
    for (int64_t i = 0; i < count; ++i) CHECK(same_float(x[i], y[i]), "in place differs, ", count);
  });
}

}  // namespace

std::vector<KernelTest> function_tests() {
  return {{"exp_f32", exp_f32},     {"sigmoid_f32", sigmoid_f32},
          {"tanh_f32", tanh_f32},   {"erf_f32", erf_f32},
          {"gelu_f32", gelu_f32},   {"tanh_gelu_f32", tanh_gelu_f32},
          {"swish_f32", swish_f32}, {"largest_f32 softmax_f32 sum_exp_f32", softmax}};
}

}  // namespace sanderling::test
