#include "core/small_types.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sanderling {
namespace {

using Nan = FloatFormat::Nan;

struct Limits {
  uint32_t sign;      // the sign bit, 0 without one
  uint32_t largest;   // the bits of the largest finite value
  uint32_t infinity;  // only where there is one
  uint32_t nan;       // only where there is one
};

Limits limits_of(const FloatFormat& format) {
  const int width = format.exponent_bits + format.mantissa_bits;
  const uint32_t all = (1u << width) - 1;
  const uint32_t mantissa = (1u << format.mantissa_bits) - 1;
  const uint32_t sign = format.has_sign ? 1u << width : 0;
  switch (format.nan) {
    case Nan::kIeee: {
      const uint32_t infinity = all & ~mantissa;
      const uint32_t quiet = format.mantissa_bits > 0 ? 1u << (format.mantissa_bits - 1) : 0;
      return {sign, infinity - 1, infinity, infinity | quiet};
    }
    case Nan::kAllOnes:
      return {sign, all - 1, 0, all};
    case Nan::kNegativeZero:
      return {sign, all, 0, sign};
    case Nan::kNone:
      break;
  }
  return {sign, all, 0, 0};
}

// The magnitude nearest to `value` >= 0, ties to even, in units of which the bits count; it may be
// beyond the largest.
uint64_t nearest(double value, const FloatFormat& format) {
  if (value == 0) return 0;
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);  // value = fraction * 2^exponent, [0.5, 1)
  // The field that a normal number of this exponent has; numbers below field 1 are subnormal.
  const int field = exponent - 1 + format.bias;
  const int lowest = format.has_sign ? 1 : 0;  // E8M0 has no subnormal numbers and no zero
  if (field < 0 && lowest == 0) return 0;
  const int step = std::max(field, lowest) - format.bias - format.mantissa_bits;
  const double units = std::nearbyint(std::ldexp(fraction, exponent - step));
  const auto count = static_cast<uint64_t>(units);  // at most 2^(mantissa_bits + 1)
  if (field < lowest) return count;
  // The implicit bit of a normal number adds one to the field; a carry does so too.
  return (static_cast<uint64_t>(field - lowest) << format.mantissa_bits) + count -
         (lowest == 0 ? uint64_t{1} << format.mantissa_bits : 0);
}

}  // namespace

uint32_t encode_float(double value, const FloatFormat& format, bool saturate) {
  const Limits limits = limits_of(format);
  const bool can_overflow = format.has_infinity || format.nan != Nan::kNone;
  const bool negative = std::signbit(value);
  const uint32_t sign = negative ? limits.sign : 0;
  if (std::isnan(value)) {
    if (format.nan == Nan::kNone) return limits.sign;  // -0, as ml_dtypes has it
    return format.nan == Nan::kNegativeZero ? limits.nan : sign | limits.nan;
  }
  if (negative && !format.has_sign) return limits.nan;
  const uint64_t magnitude =
      std::isinf(value) ? std::numeric_limits<uint64_t>::max() : nearest(std::fabs(value), format);
  if (magnitude > limits.largest) {
    if (saturate || !can_overflow) return sign | limits.largest;
    if (format.has_infinity) return sign | limits.infinity;
    return format.nan == Nan::kNegativeZero ? limits.nan : sign | limits.nan;
  }
  if (magnitude == 0 && format.nan == Nan::kNegativeZero) return 0;
  return sign | static_cast<uint32_t>(magnitude);
}

float decode_float(uint32_t bits, const FloatFormat& format) {
  const Limits limits = limits_of(format);
  const uint32_t magnitude = bits & ~limits.sign;
  const bool negative = (bits & limits.sign) != 0;
  const auto signed_as = [&](float value) { return negative ? -value : value; };
  if (format.nan == Nan::kNegativeZero && bits == limits.nan)
    return std::numeric_limits<float>::quiet_NaN();
  if (magnitude > limits.largest) {
    if (format.has_infinity && magnitude == limits.infinity)
      return signed_as(std::numeric_limits<float>::infinity());
    return signed_as(std::numeric_limits<float>::quiet_NaN());
  }
  const auto field = static_cast<int>(magnitude >> format.mantissa_bits);
  const uint32_t mantissa = magnitude & ((1u << format.mantissa_bits) - 1);
  const bool subnormal = field == 0 && format.has_sign;
  const uint32_t units = subnormal ? mantissa : mantissa + (1u << format.mantissa_bits);
  return signed_as(std::ldexp(static_cast<float>(units),
                              (subnormal ? 1 : field) - format.bias - format.mantissa_bits));
}

}  // namespace sanderling
