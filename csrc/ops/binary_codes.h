// What QAdd and QMul share: two tensors of codes with NumPy broadcasting, in the arithmetic of
// kernels/params.h BinaryU8.
#pragma once

#include "kernels/table.h"
#include "ops/broadcast.h"
#include "ops/quantization.h"

namespace sanderling {

inline void infer_binary_codes(InferContext& context) {
  require_dtype(context, 0, {DType::kUInt8});
  require_dtype(context, 1, {DType::kUInt8});
  context.set_output(0, DType::kUInt8, broadcast_inputs(context));
}

// What does not depend on the data; the caller sets the scales.
inline BinaryU8 binary_codes(const InferContext& context) {
  const Quantization& y = context.output_quantization(0);
  const CodeRange range = code_range(context, y);
  return {.count = 0,
          .a = nullptr,
          .b = nullptr,
          .b_step = 1,
          .a_zero = context.input_quantization(0).zero_point,
          .b_zero = context.input_quantization(1).zero_point,
          .a_scale = 0.0f,
          .b_scale = 0.0f,
          .zero_point = y.zero_point,
          .low = range.low,
          .high = range.high,
          .y = nullptr};
}

// The parameters of a sum, or with `sign` -1 of a difference. Scales are relative to the output's;
// the quotients round once, from double.
inline BinaryU8 sum_of_codes_parameters(const Quantization& a, const Quantization& b,
                                        const Quantization& y, const CodeRange& range,
                                        double sign = 1.0) {
  const double y_scale = y.scale;
  return {.count = 0,
          .a = nullptr,
          .b = nullptr,
          .b_step = 1,
          .a_zero = a.zero_point,
          .b_zero = b.zero_point,
          .a_scale = static_cast<float>(a.scale / y_scale),
          .b_scale = static_cast<float>(sign * b.scale / y_scale),
          .zero_point = y.zero_point,
          .low = range.low,
          .high = range.high,
          .y = nullptr};
}

// A sum in output steps, of codes less their zero points.
inline float sum_in_steps(int32_t a, int32_t b, const BinaryU8& p) {
  return static_cast<float>(a) * p.a_scale + static_cast<float>(b) * p.b_scale;
}

// The last step of both: a number in output steps to a code.
inline uint8_t code_of_steps(float steps, const BinaryU8& p) {
  return static_cast<uint8_t>(quantized(steps, 1.0f, p.zero_point, p.low, p.high));
}

// y = steps(a - a_zero, b - b_zero), as a code, for each pair of elements.
template <typename Steps>
void reference_binary_codes(const ReferenceContext& context, const BinaryU8& p, Steps steps) {
  const Shape& shape = context.output(0).shape;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const int32_t a = context.in<uint8_t>(0)[broadcast_offset(shape, context.input(0).shape, i)];
    const int32_t b = context.in<uint8_t>(1)[broadcast_offset(shape, context.input(1).shape, i)];
    context.out<uint8_t>(0)[i] = code_of_steps(steps(a - p.a_zero, b - p.b_zero), p);
  }
}

struct BinaryCodesStep {
  void (*kernel)(const BinaryU8&);
  BinaryU8 parameters;  // without count and pointers
  BroadcastWalk walk;
  bool swapped;  // the kernel's a is input 1
};

inline void run_binary_codes(const BinaryCodesStep& step, const StepArgs& args) {
  const auto* a = static_cast<const uint8_t*>(args.inputs[step.swapped ? 1 : 0]);
  const auto* b = static_cast<const uint8_t*>(args.inputs[step.swapped ? 0 : 1]);
  auto* y = static_cast<uint8_t*>(args.outputs[0]);
  for_each_range(
      *args.workers, step.walk.elements(), kStreamGrain, [&](int64_t begin, int64_t end) {
        BinaryU8 p = step.parameters;
        step.walk(begin, end, [&](int64_t at_y, int64_t at_a, int64_t at_b, int64_t count) {
          p.count = count;
          p.a = a + at_a;
          p.b = b + at_b;
          p.y = y + at_y;
          step.kernel(p);
        });
      });
}

// The kernel lets only b stand still. Both operations commute, the float sum of two products too,
// so the operand that stands still along the runs becomes b.
inline void plan_binary_codes(PlanContext& context, void (*kernel)(const BinaryU8&), BinaryU8 p) {
  const Shape& a = context.input(0).shape;
  const Shape& b = context.input(1).shape;
  const bool swapped = BroadcastWalk(a, b).a_step() == 0;
  if (swapped) {
    std::swap(p.a_zero, p.b_zero);
    std::swap(p.a_scale, p.b_scale);
  }
  const BroadcastWalk walk = swapped ? BroadcastWalk(b, a) : BroadcastWalk(a, b);
  p.b_step = walk.b_step();
  context.emit(run_binary_codes, BinaryCodesStep{kernel, p, walk, swapped});
}

}  // namespace sanderling
