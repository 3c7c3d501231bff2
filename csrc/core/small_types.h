// Element types that C++ has no arithmetic for: floats of 16 bits and fewer, integers of 4 and 2.
// They are stored, moved and converted; arithmetic is done in float.
#pragma once

#include <bit>
#include <cstdint>

namespace sanderling {

// How a small float is laid out: sign (if any), exponent, mantissa, from the top bit down.
struct FloatFormat {
  int exponent_bits;
  int mantissa_bits;
  int bias;
  bool has_sign = true;
  bool has_infinity = false;
  // NaN: kIeee has it where all exponent bits are set (and the mantissa is not 0); kAllOnes where
  // all bits but the sign are; kNegativeZero where -0 would be, so that there is no -0.
  enum class Nan : uint8_t { kIeee, kAllOnes, kNegativeZero, kNone } nan = Nan::kIeee;
};

// The bits of the value of `format` nearest to `value`, ties to even. What is beyond the largest
// finite value becomes that value (`saturate`), else infinity or, where there is none, NaN; a type
// without NaN always saturates.
uint32_t encode_float(double value, const FloatFormat& format, bool saturate);
float decode_float(uint32_t bits, const FloatFormat& format);

inline constexpr FloatFormat kFloat16Format{5, 10, 15, true, true, FloatFormat::Nan::kIeee};
inline constexpr FloatFormat kBFloat16Format{8, 7, 127, true, true, FloatFormat::Nan::kIeee};
// ONNX's and ml_dtypes' names. FN: finite, no infinity; UZ: zero has no sign.
inline constexpr FloatFormat kE4M3FN{4, 3, 7, true, false, FloatFormat::Nan::kAllOnes};
inline constexpr FloatFormat kE4M3FNUZ{4, 3, 8, true, false, FloatFormat::Nan::kNegativeZero};
inline constexpr FloatFormat kE5M2{5, 2, 15, true, true, FloatFormat::Nan::kIeee};
inline constexpr FloatFormat kE5M2FNUZ{5, 2, 16, true, false, FloatFormat::Nan::kNegativeZero};
// A power of two: no sign, no zero.
inline constexpr FloatFormat kE8M0{8, 0, 127, false, false, FloatFormat::Nan::kAllOnes};
inline constexpr FloatFormat kE2M1{2, 1, 1, true, false, FloatFormat::Nan::kNone};

// decode_float for Float16, which whole models are made of, without arithmetic.
inline float decode_float16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u)  // infinity, NaN
    return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  if (magnitude < 0x400u) {  // zero, subnormal: a multiple of 2^-24
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | ((magnitude << 13) + ((127u - 15u) << 23)));
}

template <typename Bits, const FloatFormat& kFormat>
struct SmallFloat {
  static constexpr const FloatFormat& format = kFormat;
  Bits bits;

  static SmallFloat from(double value, bool saturate = false) {
    return {static_cast<Bits>(encode_float(value, kFormat, saturate))};
  }
  explicit operator float() const {
    // By their bits: GCC's sanitizer does not take addresses for constants.
    if constexpr (kFormat.exponent_bits == 8 && kFormat.mantissa_bits == 7)
      return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
    else if constexpr (kFormat.exponent_bits == 5 && kFormat.mantissa_bits == 10)
      return decode_float16(bits);
    else
      return decode_float(bits, kFormat);
  }
  bool operator==(const SmallFloat&) const = default;  // of bits
};

using Float16 = SmallFloat<uint16_t, kFloat16Format>;
using BFloat16 = SmallFloat<uint16_t, kBFloat16Format>;
using Float8E4M3FN = SmallFloat<uint8_t, kE4M3FN>;
using Float8E4M3FNUZ = SmallFloat<uint8_t, kE4M3FNUZ>;
using Float8E5M2 = SmallFloat<uint8_t, kE5M2>;
using Float8E5M2FNUZ = SmallFloat<uint8_t, kE5M2FNUZ>;
using Float8E8M0 = SmallFloat<uint8_t, kE8M0>;
using Float4E2M1 = SmallFloat<uint8_t, kE2M1>;

// An integer of 4 or 2 bits, in the low bits of a byte whose other bits say nothing (as in arrays
// of ml_dtypes).
template <int kBits, bool kSigned>
struct SmallInteger {
  static constexpr int bits = kBits;
  static constexpr int lowest = kSigned ? -(1 << (kBits - 1)) : 0;
  static constexpr int highest = (1 << (kBits - (kSigned ? 1 : 0))) - 1;
  uint8_t byte;

  // The low bits of `value`, as C++ narrows other integers.
  static SmallInteger wrap(int64_t value) { return {static_cast<uint8_t>(value & kMask)}; }
  int number() const {
    const int low = byte & kMask;
    return low > highest ? low - (1 << kBits) : low;
  }

 private:
  static constexpr int kMask = (1 << kBits) - 1;
};

using UInt4 = SmallInteger<4, false>;
using Int4 = SmallInteger<4, true>;
using UInt2 = SmallInteger<2, false>;
using Int2 = SmallInteger<2, true>;

}  // namespace sanderling
