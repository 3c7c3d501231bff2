// What Add, Sub, Mul and Div share: any numeric dtype with broadcasting by the reference, float32
// by a kernel, and by loops float64 and the integers that models compute with on their way.
#pragma once

#include "kernels/table.h"
#include "ops/element_types.h"
#include "ops/pairs.h"

namespace sanderling {

inline void infer_binary(InferContext& context) {
  require_number(context, 0);
  require_same_dtype(context, 0, 1);
  context.set_output(0, context.input(0).dtype, broadcast_inputs(context));
}

// y = operation(a, b) for each pair of elements.
template <typename Operation>
void reference_binary(const ReferenceContext& context, Operation operation) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    reference_pairs<T, T, T>(context, operation);
  });
}

struct BinaryStep {
  void (*kernel)(const BinaryF32&);
  BroadcastWalk walk;
};

inline void run_binary(const BinaryStep& step, const StepArgs& args) {
  const auto* a = static_cast<const float*>(args.inputs[0]);
  const auto* b = static_cast<const float*>(args.inputs[1]);
  auto* y = static_cast<float*>(args.outputs[0]);
  for_each_range(
      *args.workers, step.walk.elements(), kStreamGrain, [&](int64_t begin, int64_t end) {
        step.walk(begin, end, [&](int64_t at_y, int64_t at_a, int64_t at_b, int64_t count) {
          step.kernel({.count = count,
                       .a = a + at_a,
                       .a_step = step.walk.a_step(),
                       .b = b + at_b,
                       .b_step = step.walk.b_step(),
                       .y = y + at_y});
        });
      });
}

// `kernel` does for float32 what `operation` does for float64 and for the integers that models
// compute with: the sums of ConvInteger and MatMulInteger, shapes, indices, masks. Other types are
// the reference's.
template <typename Operation>
void plan_binary(PlanContext& context, void (*kernel)(const BinaryF32&), Operation operation) {
  switch (context.input(0).dtype) {
    case DType::kFloat32:
      return context.emit(run_binary,
                          BinaryStep{kernel, {context.input(0).shape, context.input(1).shape}});
    case DType::kFloat64:
      return emit_pairs<double, double, double>(context, operation);
    case DType::kUInt8:
      return emit_pairs<uint8_t, uint8_t, uint8_t>(context, operation);
    case DType::kInt32:
      return emit_pairs<int32_t, int32_t, int32_t>(context, operation);
    case DType::kInt64:
      return emit_pairs<int64_t, int64_t, int64_t>(context, operation);
    default:
      return;
  }
}

}  // namespace sanderling
