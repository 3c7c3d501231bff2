// Matrix products and depthwise convolution against int64 and double sums.
#include <algorithm>
#include <limits>
#include <optional>

#include "kernels_test.h"

namespace sanderling::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Sizes {
  int64_t rows, columns, depth, a_stride, c_stride;
  std::string text() const {
    return cat("rows ", rows, " columns ", columns, " depth ", depth, " a_stride ", a_stride,
               " c_stride ", c_stride);
  }
  int64_t a_size() const { return rows == 0 ? 0 : (rows - 1) * a_stride + depth; }
  int64_t c_size() const { return rows == 0 ? 0 : (rows - 1) * c_stride + columns; }
};

// Every tile, tail and blocking of every ISA: all row counts of a tile with columns and depths
// around the group sizes, random ones, and rows that do not fit one block.
std::vector<Sizes> product_sizes(Random& random) {
  std::vector<Sizes> all;
  for (int64_t rows = 0; rows <= 8; ++rows) {
    for (const int64_t columns : {0, 1, 3, 4, 5, 8, 15, 16, 17, 33, 48, 64, 65}) {
      for (const int64_t depth : {0, 1, 2, 3, 4, 5, 9, 21})
        all.push_back({rows, columns, depth, depth, columns});
    }
  }
  for (const int64_t columns : interesting_sizes()) all.push_back({1, columns, 7, 7, columns});
  for (const int64_t depth : interesting_sizes()) all.push_back({7, 19, depth, depth, 19});
  for (int i = 0; i < 60; ++i) {
    Sizes sizes{random.in(1, 40), random.in(1, 150), random.in(1, 200), 0, 0};
    // Rows may overlap: a convolution reads them as runs of one padded image.
    sizes.a_stride =
        random.in(0, 2) == 0 ? random.in(1, sizes.depth) : sizes.depth + random.in(0, 70);
    sizes.c_stride = sizes.columns + random.in(0, 20);
    all.push_back(sizes);
  }
  all.push_back({70, 18, 4099, 4099, 18});
  return all;
}

void check_gemm_u8s8s32(const KernelTable& table, const KernelTable& scalar, const Sizes& sizes,
                        const Guarded<uint8_t>& a, const Guarded<int8_t>& weights) {
  const auto run_with = [&](const KernelTable& with, Guarded<int32_t>& c) {
    const size_t bytes = with.packed_bytes_u8s8(sizes.columns, sizes.depth);
    Guarded<int8_t> packed(static_cast<int64_t>(bytes));
    with.pack_u8s8(weights.data(), sizes.columns, sizes.depth, packed.data());
    with.gemm_u8s8s32({.rows = sizes.rows,
                       .columns = sizes.columns,
                       .depth = sizes.depth,
                       .a = a.data(),
                       .a_stride = sizes.a_stride,
                       .b = packed.data(),
                       .c = c.data(),
                       .c_stride = sizes.c_stride});
  };
  Guarded<int32_t> c(sizes.c_size()), same(sizes.c_size()), wanted(sizes.c_size());
  for (int64_t m = 0; m < sizes.rows; ++m) {
    for (int64_t n = 0; n < sizes.columns; ++n) {
      int64_t sum = 0;
      for (int64_t k = 0; k < sizes.depth; ++k) {
        sum += int64_t{a[m * sizes.a_stride + k]} * weights[n * sizes.depth + k];
      }
      wanted[m * sizes.c_stride + n] = static_cast<int32_t>(sum);
    }
  }
  run_with(table, c);
  run_with(scalar, same);
  // The gaps between rows must keep the pattern that Guarded put there.
  for (int64_t i = 0; i < c.size(); ++i) {
    CHECK(c[i] == wanted[i], c[i], " instead of ", wanted[i], " at ", i, ", ", sizes.text());
    CHECK(c[i] == same[i], c[i], " but scalar has ", same[i], " at ", i, ", ", sizes.text());
  }
}

void gemm_u8s8s32(const KernelTable& table, const KernelTable& scalar, uint64_t seed) {
  Random random(seed);
  for (const Sizes& sizes : product_sizes(random)) {
    Guarded<uint8_t> a(sizes.a_size(), kSlackBytes);
    Guarded<int8_t> weights(sizes.columns * sizes.depth);
    random.fill_whole(a, 0, 255);
    random.fill_whole(weights, -128, 127);
    check_gemm_u8s8s32(table, scalar, sizes, a, weights);
  }
}

// Where 16-bit sums of pairs, signed codes or int32 itself would overflow.
void gemm_u8s8s32_extremes(const KernelTable& table, const KernelTable& scalar, uint64_t seed) {
  Random random(seed);
  const std::vector<Sizes> all = {
      {7, 67, 33, 33, 67}, {1, 17, 256, 256, 17}, {5, 3, kMaxDepthU8S8, kMaxDepthU8S8, 3}};
  for (const Sizes& sizes : all) {
    for (const int code : {0, 127, 128, 255}) {
      for (const int weight : {-128, -127, 127}) {
        Guarded<uint8_t> a(sizes.a_size(), kSlackBytes);
        Guarded<int8_t> weights(sizes.columns * sizes.depth);
        random.fill_whole(a, code, code);
        random.fill_whole(weights, weight, weight);
        check_gemm_u8s8s32(table, scalar, sizes, a, weights);
        for (int8_t& w : weights) w = random.pick<int8_t>({-128, 127});
        for (uint8_t& x : a) x = random.pick<uint8_t>({0, 255});
        check_gemm_u8s8s32(table, scalar, sizes, a, weights);
      }
    }
  }
}

struct FloatProduct {
  Sizes sizes;
  Guarded<float> a, weights, bias, packed;
  float low = -kInfinity, high = kInfinity;
  bool with_bias = true;

  FloatProduct(const KernelTable& table, const Sizes& given)
      : sizes(given),
        a(sizes.a_size()),
        weights(sizes.columns * sizes.depth),
        bias(sizes.columns),
        packed(static_cast<int64_t>(table.packed_bytes_f32(sizes.columns, sizes.depth) /
                                    sizeof(float))) {}
  void run(const KernelTable& table, int64_t first_row, int64_t rows, float* c) {
    table.gemm_f32({.rows = rows,
                    .columns = sizes.columns,
                    .depth = sizes.depth,
                    .a = a.data() + first_row * sizes.a_stride,
                    .a_stride = sizes.a_stride,
                    .b = packed.data(),
                    .bias = with_bias ? bias.data() : nullptr,
                    .low = low,
                    .high = high,
                    .c = c,
                    .c_stride = sizes.c_stride});
  }
};

// The float product of `table`, whose factors `rounded` gives as they are multiplied.
template <typename Rounded>
void check_gemm_f32(const KernelTable& table, uint64_t seed, const Rounded& rounded) {
  Random random(seed);
  for (const Sizes& sizes : product_sizes(random)) {
    FloatProduct product(table, sizes);
    random.fill_real(product.a, -2, 2);
    random.fill_real(product.weights, -1, 1);
    random.fill_real(product.bias, -3, 3);
    product.with_bias = random.in(0, 2) > 0;
    if (random.in(0, 1) == 0) product.low = 0.0f;
    if (random.in(0, 1) == 0) product.high = 6.0f;
    table.pack_f32(product.weights.data(), sizes.columns, sizes.depth, product.packed.data());
    Guarded<float> c(sizes.c_size()), untouched(sizes.c_size()), single(sizes.c_size());
    product.run(table, 0, sizes.rows, c.data());
    for (int64_t m = 0; m < sizes.rows; ++m) {
      product.run(table, m, 1, single.data() + m * sizes.c_stride);
      for (int64_t n = 0; n < sizes.columns; ++n) {
        double sum = product.with_bias ? product.bias[n] : 0.0;
        double magnitude = std::fabs(sum);
        for (int64_t k = 0; k < sizes.depth; ++k) {
          const double term = double{rounded(product.a[m * sizes.a_stride + k])} *
                              rounded(product.weights[n * sizes.depth + k]);
          sum += term;
          magnitude += std::fabs(term);
        }
        const double wanted = std::min(std::max(sum, double{product.low}), double{product.high});
        const float got = c[m * sizes.c_stride + n];
        CHECK(std::fabs(got - wanted) <= float_tolerance(sizes.depth + 1, magnitude), got,
              " instead of ", wanted, " at ", m, ",", n, ", ", sizes.text());
        untouched[m * sizes.c_stride + n] = got;
      }
    }
    const auto bytes = static_cast<size_t>(sizes.c_size()) * sizeof(float);
    CHECK(memcmp(c.data(), untouched.data(), bytes) == 0, "wrote between rows, ", sizes.text());
    CHECK(memcmp(c.data(), single.data(), bytes) == 0, "a row depends on `rows`, ", sizes.text());
  }
}

void gemm_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  check_gemm_f32(table, seed, [](float x) { return x; });
}

// A NaN or infinity reaches its own row, through the clamp, and no other.
void gemm_f32_not_finite(const KernelTable& table, const KernelTable&, uint64_t seed) {
  Random random(seed);
  for (int i = 0; i < 40; ++i) {
    const int64_t depth = random.in(1, 40);
    const Sizes sizes{random.in(1, 20), random.in(1, 70), depth, depth + 3, 70};
    FloatProduct product(table, sizes);
    for (float& x : product.a) x = kNan;  // also what lies between the rows
    for (int64_t m = 0; m < sizes.rows; ++m) {
      for (int64_t k = 0; k < depth; ++k)
        product.a[m * sizes.a_stride + k] = static_cast<float>(random.real(0.5, 1));
    }
    random.fill_real(product.weights, 0.5, 1);
    random.fill_real(product.bias, 0, 1);
    product.low = -1.0f;
    product.high = 1000.0f;
    table.pack_f32(product.weights.data(), sizes.columns, depth, product.packed.data());
    const int64_t bad_row = random.in(0, sizes.rows - 1);
    const float bad = random.pick<float>({kNan, kInfinity, -kInfinity});
    product.a[bad_row * sizes.a_stride + random.in(0, depth - 1)] = bad;
    Guarded<float> c(sizes.c_size());
    product.run(table, 0, sizes.rows, c.data());
    for (int64_t m = 0; m < sizes.rows; ++m) {
      for (int64_t n = 0; n < sizes.columns; ++n) {
        const float got = c[m * sizes.c_stride + n];
        if (m != bad_row) {
          CHECK(got > 0.0f && got < 1000.0f, got, " in row ", m, ", ", sizes.text());
        } else {
          const float wanted = bad != bad ? kNan : bad > 0 ? product.high : product.low;
          CHECK(same_float(got, wanted), got, " instead of ", wanted, ", ", sizes.text());
        }
      }
    }
  }
}

// To 8 significant bits, half to even; what is too large for them becomes infinite.
float to_bfloat16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  if (x != x) return x;
  bits += 0x7fffu + (bits >> 16 & 1);
  bits &= 0xffff0000u;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

// The bfloat16 products of `table` as its float products; no products where it has none.
std::optional<KernelTable> with_bfloat16_as_float(const KernelTable& table) {
  CHECK((table.gemm_bf16 == nullptr) == (table.pack_bf16 == nullptr) &&
            (table.gemm_bf16 == nullptr) == (table.packed_bytes_bf16 == nullptr),
        "some of the bfloat16 kernels are missing");
  if (table.gemm_bf16 == nullptr) return std::nullopt;
  KernelTable copy = table;
  copy.packed_bytes_f32 = table.packed_bytes_bf16;
  copy.pack_f32 = table.pack_bf16;
  copy.gemm_f32 = table.gemm_bf16;
  return copy;
}

// Equal to the float products of rounded factors but for the rounding of sums, so each row is the
// same in every tile, too.
void gemm_bf16(const KernelTable& table, const KernelTable&, uint64_t seed) {
  if (const auto rounding = with_bfloat16_as_float(table))
    check_gemm_f32(*rounding, seed, to_bfloat16);
}

void gemm_bf16_not_finite(const KernelTable& table, const KernelTable& scalar, uint64_t seed) {
  if (const auto rounding = with_bfloat16_as_float(table))
    gemm_f32_not_finite(*rounding, scalar, seed);
}

// Both factors round half to even, whatever lies beside them.
void gemm_bf16_rounds(const KernelTable& table, const KernelTable&, uint64_t) {
  const auto rounding = with_bfloat16_as_float(table);
  if (!rounding) return;
  const float step = std::ldexp(1.0f, -7);  // above 1
  const std::vector<std::pair<float, float>> cases = {
      {1 + step / 2, 1.0f},
      {1 + step * 1.5f, 1 + 2 * step},
      {-1 - step / 2, -1.0f},
      {std::nextafter(1 + step / 2, 2.0f), 1 + step},
      {std::nextafter(1 + step * 1.5f, 1.0f), 1 + step},
      {255.5f, 256.0f},
      {std::numeric_limits<float>::max(), kInfinity},
      {-kInfinity, -kInfinity},
      {kNan, kNan},
      {std::numeric_limits<float>::denorm_min(), 0.0f}};
  for (const auto& [given, wanted] : cases) {
    for (const int64_t depth : {1, 2, 3, 128, 129, 131}) {
      for (const bool in_weights : {false, true}) {
        FloatProduct product(*rounding, {1, 3, depth, depth, 3});
        product.with_bias = false;
        Guarded<float> c(3);
        for (float& x : product.a) x = in_weights ? 1.0f : 0.0f;
        for (float& x : product.weights) x = in_weights ? 0.0f : 1.0f;
        if (in_weights) {
          for (int64_t n = 0; n < 3; ++n) product.weights[n * depth + depth - 1] = given;
        } else {
          product.a[depth - 1] = given;
        }
        rounding->pack_f32(product.weights.data(), 3, depth, product.packed.data());
        product.run(*rounding, 0, 1, c.data());
        for (const float got : c)
          CHECK(got == wanted || (got != got && wanted != wanted), got, " instead of ", wanted,
                " for ", given, " in depth ", depth, in_weights ? ", a weight" : ", a code");
      }
    }
  }
}

template <typename T>
struct Taps {
  std::vector<std::unique_ptr<Guarded<T>>> owned;
  std::vector<const T*> pointers;
  Taps(int64_t count, int64_t channels) {
    for (int64_t t = 0; t < count; ++t) {
      owned.push_back(std::make_unique<Guarded<T>>(channels));
      pointers.push_back(owned.back()->data());
    }
  }
};

void depthwise_u8s8s32(const KernelTable& table, const KernelTable& scalar, uint64_t seed) {
  Random random(seed);
  for (const int64_t channels : interesting_sizes()) {
    for (const int64_t tap_count : {0, 1, 2, 3, 9, 25}) {
      const bool extreme = random.in(0, 3) == 0;
      Taps<uint8_t> taps(tap_count, channels);
      Guarded<int8_t> weights(tap_count * channels);
      for (auto& tap : taps.owned) random.fill_whole(*tap, extreme ? 255 : 0, 255);
      random.fill_whole(weights, -128, extreme ? -128 : 127);
      Guarded<int32_t> out(channels), same(channels);
      DepthwiseU8S8 p{channels, tap_count, taps.pointers.data(), weights.data(), out.data()};
      table.depthwise_u8s8s32(p);
      p.out = same.data();
      scalar.depthwise_u8s8s32(p);
      for (int64_t c = 0; c < channels; ++c) {
        int64_t wanted = 0;
        for (int64_t t = 0; t < tap_count; ++t)
          wanted += int64_t{taps.pointers[t][c]} * weights[t * channels + c];
        CHECK(out[c] == wanted && out[c] == same[c], out[c], " instead of ", wanted, ", channel ",
              c, " of ", channels, ", taps ", tap_count);
      }
    }
  }
}

void depthwise_f32(const KernelTable& table, const KernelTable&, uint64_t seed) {
  Random random(seed);
  for (const int64_t channels : interesting_sizes()) {
    for (const int64_t tap_count : {0, 1, 9, 25}) {
      Taps<float> taps(tap_count, channels);
      Guarded<float> weights(tap_count * channels), bias(channels), out(channels);
      for (auto& tap : taps.owned) random.fill_real(*tap, -2, 2);
      random.fill_real(weights, -1, 1);
      random.fill_real(bias, -1, 1);
      const bool with_bias = random.in(0, 1) == 0;
      const float low = random.pick<float>({-kInfinity, 0.0f});
      const float high = random.pick<float>({kInfinity, 1.0f});
      const int64_t nan_channel = tap_count > 0 && channels > 0 ? random.in(0, channels - 1) : -1;
      if (nan_channel >= 0) (*taps.owned[0])[nan_channel] = kNan;
      table.depthwise_f32({channels, tap_count, taps.pointers.data(), weights.data(),
                           with_bias ? bias.data() : nullptr, low, high, out.data()});
      for (int64_t c = 0; c < channels; ++c) {
        double sum = with_bias ? bias[c] : 0.0;
        double magnitude = std::fabs(sum);
        for (int64_t t = 0; t < tap_count; ++t) {
          const double term = double{taps.pointers[t][c]} * weights[t * channels + c];
          sum += term;
          magnitude += std::fabs(term);
        }
        if (c == nan_channel) {
          CHECK(std::isnan(out[c]), out[c], " instead of NaN, channel ", c);
          continue;
        }
        const double wanted = std::min(std::max(sum, double{low}), double{high});
        CHECK(std::fabs(out[c] - wanted) <= float_tolerance(tap_count + 1, magnitude), out[c],
              " instead of ", wanted, ", channel ", c, " of ", channels, ", taps ", tap_count);
      }
    }
  }
}

}  // namespace

std::vector<KernelTest> product_tests() {
  return {{"packed_bytes_u8s8 pack_u8s8 gemm_u8s8s32", gemm_u8s8s32},
          {"gemm_u8s8s32 at extremes", gemm_u8s8s32_extremes},
          {"packed_bytes_f32 pack_f32 gemm_f32", gemm_f32},
          {"gemm_f32 not finite", gemm_f32_not_finite},
          {"packed_bytes_bf16 pack_bf16 gemm_bf16", gemm_bf16},
          {"gemm_bf16 not finite", gemm_bf16_not_finite},
          {"gemm_bf16 rounds", gemm_bf16_rounds},
          {"depthwise_u8s8s32", depthwise_u8s8s32},
          {"depthwise_f32", depthwise_f32}};
}

}  // namespace sanderling::test
