// Parameter blocks of the kernels, and what each must compute. Pointers are borrowed. Strides are
// in elements. Kernels do not check, throw or allocate. Integer kernels give the same bits on every
// ISA; all units are built with -ffp-contract=off, and each float expression below is evaluated in
// float32 in the order written. Activation codes are uint8 on every ISA: where the hardware
// multiplies s8 by s8 (NEON), the kernel flips the top bit on load and its packed weights carry the
// compensation.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sanderling {

// c[m][n] = sum over k of a[m][k] * b[k][n], exactly; b packed by pack_u8s8 of the same table. At
// most kMaxDepthU8S8 deep, so that int32 cannot overflow. Rows may overlap. May read kSlackBytes
// (core/tensor.h) past the last row of a.
struct GemmU8S8 {
  int64_t rows, columns, depth;
  const uint8_t* a;
  int64_t a_stride;
  const int8_t* b;
  int32_t* c;
  int64_t c_stride;
};
// 65536 * 255 * 128 = 2^31 - 2^23: that much room is left for the bias.
constexpr int64_t kMaxDepthU8S8 = 65536;

// c[m][n] = clamp(bias[n] + sum over k of a[m][k] * b[k][n], low, high); b packed by pack_f32. bias
// may be null (zero). Each row is summed in the same order whatever `rows` is, so batched results
// equal single ones bit for bit on one ISA. Reads nothing outside a (0 * NaN would poison a tail).
// NaN sums stay NaN.
struct GemmF32 {
  int64_t rows, columns, depth;
  const float* a;
  int64_t a_stride;
  const float* b;
  const float* bias;
  float low, high;
  float* c;
  int64_t c_stride;
};

// One output pixel of a depthwise convolution:
//     out[c] = sum over t of taps[t][c] * weights[t * channels + c]
// Each tap points to the channels of one input pixel (or of a padding pixel). Integer: exact.
struct DepthwiseU8S8 {
  int64_t channels, tap_count;
  const uint8_t* const* taps;
  const int8_t* weights;
  int32_t* out;
};
// Float: clamp(bias[c] + sum in tap order, low, high); bias may be null.
struct DepthwiseF32 {
  int64_t channels, tap_count;
  const float* const* taps;
  const float* weights;
  const float* bias;
  float low, high;
  float* out;
};

// y = round_half_even(clamp(float(acc[r][c] + bias[c]) * scale[c] + offset[c],
//                           low - zero_point, high - zero_point)) + zero_point
// offset is a bias that has no exact integer form, in output steps; null means that nothing is
// added.
struct RequantizeS32U8 {
  int64_t rows, columns;
  const int32_t* acc;
  int64_t acc_stride;
  const int32_t* bias;  // one per column
  const float* scale;   // one per column
  const float* offset;  // one per column, or null
  int32_t zero_point;
  uint8_t low, high;
  uint8_t* y;
  int64_t y_stride;
};

// y = clamp(float(acc[r][c] + bias[c]) * scale[c] + offset[c], low, high); offset may be null
// (zero).
struct RequantizeS32F32 {
  int64_t rows, columns;
  const int32_t* acc;
  int64_t acc_stride;
  const int32_t* bias;
  const float* scale;
  const float* offset;
  float low, high;
  float* y;
  int64_t y_stride;
};

// add: y = round_half_even(clamp(float(a - a_zero) * a_scale + float(b - b_zero) * b_scale,
//                                low - zero_point, high - zero_point)) + zero_point
// mul: the same with float((a - a_zero) * (b - b_zero)) * a_scale; b_scale is not used.
// The scales are relative to the output's. b_step 0 repeats b[0]; 1 walks b.
struct BinaryU8 {
  int64_t count;
  const uint8_t* a;
  const uint8_t* b;
  int64_t b_step;
  int32_t a_zero, b_zero;
  float a_scale, b_scale;
  int32_t zero_point;
  uint8_t low, high;
  uint8_t* y;
};

// y[i] = op(a[i * a_step], b[i * b_step]); steps are 0 or 1.
struct BinaryF32 {
  int64_t count;
  const float* a;
  int64_t a_step;
  const float* b;
  int64_t b_step;
  float* y;
};

}  // namespace sanderling
