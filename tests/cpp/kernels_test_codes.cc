// Kernels that read or write codes. Each is compared with the contract evaluated in double, which
// leaves the neighbours of a tie open, and with the scalar table, which leaves nothing open.
#include <algorithm>
#include <limits>

#include "kernels_test.h"

namespace sanderling::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct CodeRange {
  int zero_point, low, high;
};
CodeRange any_range(Random& random) {
  const int zero_point = random.pick<int>({0, 255, 128, static_cast<int>(random.in(0, 255))});
  if (random.in(0, 1) == 0) return {zero_point, 0, 255};
  const int low = static_cast<int>(random.in(0, 255));
  return {zero_point, low, static_cast<int>(random.in(low, 255))};
}

struct Rescaling {
  int64_t rows, columns, acc_stride, y_stride;
  Guarded<int32_t> acc, bias;
  Guarded<float> scale, offset;
  bool with_offset;

  Rescaling(Random& random, int64_t rows_, int64_t columns_)
      : rows(rows_),
        columns(columns_),
        acc_stride(columns + random.in(0, 5)),
        y_stride(columns + random.in(0, 5)),
        acc(size(acc_stride)),
        bias(columns),
        scale(columns),
        offset(columns),
        with_offset(random.in(0, 1) == 0) {
    const int64_t reach = random.pick<int64_t>({300, 100'000, 2'130'000'000});
    random.fill_whole(acc, -reach, reach);
    random.fill_whole(bias, -1000, 1000);
    for (float& x : scale)
      x = static_cast<float>(random.real(0.1, 200) / static_cast<double>(reach));
    // Exact ties: scales that are powers of two.
    if (random.in(0, 2) == 0) random.fill_real(scale, 0.5, 0.5);
    random.fill_real(offset, -20, 20);
  }
  int64_t size(int64_t stride) const { return rows == 0 ? 0 : (rows - 1) * stride + columns; }
  double steps(int64_t r, int64_t c) const {
    return (double{static_cast<double>(acc[r * acc_stride + c])} + bias[c]) * scale[c] +
           (with_offset ? offset[c] : 0.0);
  }
  // float(acc + bias), the product and the sum each lose at most 2^-24 of their size.
  double rounding(int64_t r, int64_t c) const {
    const double product =
        std::fabs((double{static_cast<double>(acc[r * acc_stride + c])} + bias[c]) * scale[c]);
    return std::ldexp(2 * product + std::fabs(steps(r, c)), -24);
  }
  std::string text() const {
    return cat(rows, " x ", columns, " strides ", acc_stride, " ", y_stride);
  }
};

void requantize_s32u8(const KernelTable& table, const KernelTable& scalar, uint64_t seed) {
  Random random(seed);
  for (const int64_t columns : interesting_sizes()) {
    for (const int64_t rows : {0, 1, 3}) {
      const Rescaling in(random, rows, columns);
      const CodeRange range = any_range(random);
      Guarded<uint8_t> y(in.size(in.y_stride)), same(in.size(in.y_stride)),
          outside(in.size(in.y_stride));
      RequantizeS32U8 p{rows,
                        columns,
                        in.acc.data(),
                        in.acc_stride,
                        in.bias.data(),
                        in.scale.data(),
                        in.with_offset ? in.offset.data() : nullptr,
                        range.zero_point,
                        static_cast<uint8_t>(range.low),
                        static_cast<uint8_t>(range.high),
                        y.data(),
                        in.y_stride};
      table.requantize_s32u8(p);
      p.y = same.data();
      scalar.requantize_s32u8(p);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < columns; ++c) {
          const int code = y[r * in.y_stride + c];
          outside[r * in.y_stride + c] = y[r * in.y_stride + c];
          // A value beyond 2^11 steps may be off by more than 2^-12, but is clamped.
          CHECK(right_code(code, in.steps(r, c), range.zero_point, range.low, range.high), code,
                " for ", in.steps(r, c), " zero ", range.zero_point, " in ", range.low, "..",
                range.high, ", ", in.text());
        }
      }
      const auto bytes = static_cast<size_t>(y.size());
      CHECK(memcmp(y.data(), same.data(), bytes) == 0, "differs from scalar, ", in.text());
      CHECK(memcmp(y.data(), outside.data(), bytes) == 0, "wrote between rows, ", in.text());
    }
  }
}

void requantize_s32f32(const KernelTable& table, const KernelTable& scalar, uint64_t seed) {
  Random random(seed);
  for (const int64_t columns : interesting_sizes()) {
    for (const int64_t rows : {0, 1, 3}) {
      const Rescaling in(random, rows, columns);
      const float low = random.pick<float>({-kInfinity, 0.0f, -5.0f});
      const float high = random.pick<float>({kInfinity, 6.0f});
      Guarded<float> y(in.size(in.y_stride)), same(in.size(in.y_stride)),
          outside(in.size(in.y_stride));
      RequantizeS32F32 p{rows,
                         columns,
                         in.acc.data(),
                         in.acc_stride,
                         in.bias.data(),
                         in.scale.data(),
                         in.with_offset ? in.offset.data() : nullptr,
                         low,
                         high,
                         y.data(),
                         in.y_stride};
      table.requantize_s32f32(p);
      p.y = same.data();
      scalar.requantize_s32f32(p);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < columns; ++c) {
          const float got = y[r * in.y_stride + c];
          const double wanted = std::min(std::max(in.steps(r, c), double{low}), double{high});
          CHECK(std::fabs(got - wanted) <= in.rounding(r, c), got, " instead of ", wanted, ", ",
                in.text());
          outside[r * in.y_stride + c] = got;
        }
      }
      const auto bytes = static_cast<size_t>(y.size()) * sizeof(float);
      CHECK(memcmp(y.data(), same.data(), bytes) == 0, "differs from scalar, ", in.text());
      CHECK(memcmp(y.data(), outside.data(), bytes) == 0, "wrote between rows, ", in.text());
    }
  }
}

// A product that float32 must round, and what added to that rounded product makes a tie far below
// it. Were the addition fused with the product, or the product kept in double, the result would be
// off the tie.
struct RoundedTie {
  int32_t factor;
  float scale, rest;
  int even;  // what the tie rounds to

  explicit RoundedTie(Random& random)
      : factor(static_cast<int32_t>(random.in(200, 255))),
        scale(static_cast<float>(random.real(0.5, 1.0))) {
    const auto product = static_cast<float>(double{scale} * factor);
    const int whole = static_cast<int>(random.in(0, 3));
    rest =
        static_cast<float>(whole + 0.5 - product);  // exact: both are multiples of 2^-17 below 256
    even = whole + whole % 2;
  }
};

void each_step_rounds(const KernelTable& table, const KernelTable&, uint64_t seed) {
  Random random(seed);
  constexpr int64_t kCount = 67;
  Guarded<int32_t> acc(kCount), bias(kCount), even(kCount);
  Guarded<float> scale(kCount), offset(kCount), real(kCount);
  Guarded<uint8_t> codes(kCount);
  for (int64_t i = 0; i < kCount; ++i) {
    const RoundedTie tie(random);
    bias[i] = static_cast<int32_t>(random.in(-100, 100));
    acc[i] = tie.factor - bias[i];
    scale[i] = tie.scale;
    offset[i] = tie.rest;
    even[i] = tie.even;
    const auto a = static_cast<uint8_t>(tie.factor);
    const uint8_t b = 8;
    uint8_t y = 0;
    table.add_u8({1, &a, &b, 1, 0, 7, tie.scale, tie.rest, 9, 0, 255, &y});
    CHECK(y == tie.even + 9, int{y}, " instead of ", tie.even + 9, " from add_u8");
  }
  table.requantize_s32u8({1, kCount, acc.data(), kCount, bias.data(), scale.data(), offset.data(),
                          9, 0, 255, codes.data(), kCount});
  table.requantize_s32f32({1, kCount, acc.data(), kCount, bias.data(), scale.data(), offset.data(),
                           -kInfinity, kInfinity, real.data(), kCount});
  for (int64_t i = 0; i < kCount; ++i) {
    CHECK(codes[i] == even[i] + 9, int{codes[i]}, " instead of ", even[i] + 9,
          " from requantize_s32u8");
    CHECK(std::nearbyint(real[i]) == even[i] && std::fabs(real[i] - even[i]) == 0.5, real[i],
          " is no tie at ", even[i]);
  }
}

void quantize_f32u8(const KernelTable& table, const KernelTable& scalar, uint64_t seed) {
  Random random(seed);
  for (const int64_t count : interesting_sizes()) {
    for (int i = 0; i < 4; ++i) {
      const float scale =
          random.pick<float>({0.5f, 1.0f, 0.0078125f, static_cast<float>(random.real(1e-3, 3))});
      const int zero_point = any_range(random).zero_point;
      Guarded<float> x(count);
      for (float& value : x) {
        const double steps = random.in(0, 3) == 0 ? static_cast<double>(random.in(-300, 300)) + 0.5
                                                  : random.real(-300, 300);
        value = static_cast<float>(steps * scale);
        if (random.in(0, 9) == 0) {
          value = random.pick<float>(
              {kNan, -kNan, kInfinity, -kInfinity, 3e38f, -3e38f, -0.0f, 1e-45f, 3e9f, -3e9f});
        }
      }
      Guarded<uint8_t> y(count), same(count);
      table.quantize_f32u8(x.data(), y.data(), count, scale, zero_point);
      scalar.quantize_f32u8(x.data(), same.data(), count, scale, zero_point);
      for (int64_t j = 0; j < count; ++j) {
        const double steps = double{x[j]} / scale;
        CHECK(right_code(y[j], steps, zero_point, 0, 255), int{y[j]}, " for ", steps, " zero ",
              zero_point);
        CHECK(y[j] == same[j], int{y[j]}, " but scalar has ", int{same[j]}, " for ", x[j], " / ",
              scale);
      }
    }
  }
}

void dequantize_u8f32(const KernelTable& table, const KernelTable& scalar, uint64_t seed) {
  Random random(seed);
  for (const int64_t count : interesting_sizes()) {
    const auto scale = static_cast<float>(random.real(1e-4, 3));
    const int zero_point = any_range(random).zero_point;
    Guarded<uint8_t> x(count);
    random.fill_whole(x, 0, 255);
    Guarded<float> y(count), same(count);
    table.dequantize_u8f32(x.data(), y.data(), count, scale, zero_point);
    scalar.dequantize_u8f32(x.data(), same.data(), count, scale, zero_point);
    for (int64_t j = 0; j < count; ++j) {
      const auto wanted =
          static_cast<float>((x[j] - zero_point) * double{scale});  // exact in double
      CHECK(y[j] == wanted && same_bits(y[j], same[j]), y[j], " instead of ", wanted, " for ",
            int{x[j]});
    }
  }
}

void lookup_u8(const KernelTable& table, const KernelTable&, uint64_t seed) {
  Random random(seed);
  for (const int64_t count : interesting_sizes()) {
    Guarded<uint8_t> x(count), y(count), codes(256);
    random.fill_whole(x, 0, 255);
    random.fill_whole(codes, 0, 255);
    table.lookup_u8(x.data(), y.data(), count, codes.data());
    for (int64_t j = 0; j < count; ++j) CHECK(y[j] == codes[x[j]], int{y[j]}, " for ", int{x[j]});
    table.lookup_u8(x.data(), x.data(), count, codes.data());
    CHECK(memcmp(x.data(), y.data(), static_cast<size_t>(count)) == 0, "in place differs, ", count);
  }
}

// `real` says what the kernel must compute, in steps of the output.
template <typename Real>
void check_binary(void (*kernel)(const BinaryU8&), void (*scalar)(const BinaryU8&), uint64_t seed,
                  const Real& real) {
  Random random(seed);
  for (const int64_t count : interesting_sizes()) {
    for (const int64_t b_step : {0, 1}) {
      const CodeRange range = any_range(random);
      Guarded<uint8_t> a(count), b(b_step == 0 ? 1 : count), y(count), same(count);
      random.fill_whole(a, 0, 255);
      random.fill_whole(b, 0, 255);
      const bool ties = random.in(0, 1) == 0;
      BinaryU8 p{.count = count,
                 .a = a.data(),
                 .b = b.data(),
                 .b_step = b_step,
                 .a_zero = any_range(random).zero_point,
                 .b_zero = any_range(random).zero_point,
                 .a_scale = ties ? 0.5f : static_cast<float>(random.real(0.001, 2)),
                 .b_scale = ties ? 0.25f : static_cast<float>(random.real(-2, 2)),
                 .zero_point = range.zero_point,
                 .low = static_cast<uint8_t>(range.low),
                 .high = static_cast<uint8_t>(range.high),
                 .y = y.data()};
      kernel(p);
      p.y = same.data();
      scalar(p);
      for (int64_t j = 0; j < count; ++j) {
        const double steps = real(p, a[j] - p.a_zero, b[j * b_step] - p.b_zero);
        CHECK(right_code(y[j], steps, range.zero_point, range.low, range.high), int{y[j]}, " for ",
              steps, " steps");
        CHECK(y[j] == same[j], int{y[j]}, " but scalar has ", int{same[j]}, " for ", steps);
      }
    }
  }
}

void add_u8(const KernelTable& table, const KernelTable& scalar, uint64_t seed) {
  check_binary(table.add_u8, scalar.add_u8, seed,
               [](const BinaryU8& p, double a, double b) { return a * p.a_scale + b * p.b_scale; });
}

void mul_u8(const KernelTable& table, const KernelTable& scalar, uint64_t seed) {
  check_binary(table.mul_u8, scalar.mul_u8, seed,
               [](const BinaryU8& p, double a, double b) { return a * b * p.a_scale; });
}

void max_u8(const KernelTable& table, const KernelTable&, uint64_t seed) {
  Random random(seed);
  for (const int64_t count : interesting_sizes()) {
    Guarded<uint8_t> x(count), y(count), before(count);
    random.fill_whole(x, 0, 255);
    random.fill_whole(before, 0, 255);
    std::copy(before.begin(), before.end(), y.begin());
    table.max_u8(x.data(), y.data(), count);
    for (int64_t j = 0; j < count; ++j)
      CHECK(y[j] == std::max(x[j], before[j]), int{y[j]}, " at ", j);
  }
}

void accumulate_u8s32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  Random random(seed);
  for (const int64_t count : interesting_sizes()) {
    Guarded<uint8_t> x(count);
    Guarded<int32_t> y(count), before(count);
    random.fill_whole(x, 0, 255);
    random.fill_whole(before, -2'000'000'000, 2'000'000'000);
    std::copy(before.begin(), before.end(), y.begin());
    table.accumulate_u8s32(x.data(), y.data(), count);
    for (int64_t j = 0; j < count; ++j) CHECK(y[j] == before[j] + x[j], y[j], " at ", j);
  }
}

}  // namespace

std::vector<KernelTest> code_tests() {
  return {{"requantize_s32u8", requantize_s32u8},
          {"requantize_s32f32", requantize_s32f32},
          {"quantize_f32u8", quantize_f32u8},
          {"dequantize_u8f32", dequantize_u8f32},
          {"lookup_u8", lookup_u8},
          {"add_u8", add_u8},
          {"mul_u8", mul_u8},
          {"max_u8", max_u8},
          {"accumulate_u8s32", accumulate_u8s32},
          {"each step rounds to float32", each_step_rounds}};
}

}  // namespace sanderling::test
