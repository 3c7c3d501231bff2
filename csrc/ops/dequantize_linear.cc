#include <array>

#include "kernels/table.h"
#include "ops/element_types.h"
#include "ops/quantization.h"

namespace sanderling {
namespace {

constexpr int64_t kOnnxFloat32 = 1;  // TensorProto.DataType

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kUInt8, DType::kInt8, DType::kInt32});
  require_dtype(context, 1, {DType::kFloat32});
  if (context.has_input(2)) require_same_dtype(context, 0, 2);
  if (const int64_t wanted = context.attributes().integer("output_dtype", 0);
      wanted != 0 && wanted != kOnnxFloat32)
    context.unsupported("output_dtype is ", wanted, "; the native engine gives float32 (1)");
  const ScaleLayout layout(context);
  context.set_output(0, DType::kFloat32, context.input(0).shape);
}

// The difference is exact in int64 before it becomes float32.
template <typename Code>
void dequantize_all(const ReferenceContext& context) {
  const ScaleLayout layout(context);
  for (int64_t i = 0; i < context.input(0).shape.elements(); ++i) {
    const int64_t s = layout.index(i);
    const int64_t zero = context.has_input(2) ? context.in<Code>(2)[s] : 0;
    context.out<float>(0)[i] =
        static_cast<float>(static_cast<int64_t>(context.in<Code>(0)[i]) - zero) *
        context.in<float>(1)[s];
  }
}

void reference(const ReferenceContext& context) {
  if (context.input(0).dtype == DType::kUInt8)
    dequantize_all<uint8_t>(context);
  else if (context.input(0).dtype == DType::kInt8)
    dequantize_all<int8_t>(context);
  else
    dequantize_all<int32_t>(context);
}

struct Step {
  const KernelTable* kernels;
  ScaleLayout layout;
  bool has_zero_point;
};

void run_uint8(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const uint8_t*>(args.inputs[0]);
  const auto* scale = static_cast<const float*>(args.inputs[1]);
  auto* y = static_cast<float*>(args.outputs[0]);
  step.layout.for_each_run(*args.workers, [&](int64_t at, int64_t count, int64_t s) {
    const int32_t zero = step.has_zero_point ? static_cast<const uint8_t*>(args.inputs[2])[s] : 0;
    step.kernels->dequantize_u8f32(x + at, y + at, count, scale[s], zero);
  });
}

// The kernel reads uint8: int8 codes go through a buffer that holds them raised by 128, which flips
// their top bit.
void run_int8(const Step& step, const StepArgs& args) {
  constexpr int64_t kBuffered = 1024;
  const auto* x = static_cast<const uint8_t*>(args.inputs[0]);
  const auto* scale = static_cast<const float*>(args.inputs[1]);
  auto* y = static_cast<float*>(args.outputs[0]);
  step.layout.for_each_run(*args.workers, [&](int64_t at, int64_t count, int64_t s) {
    const int32_t zero = step.has_zero_point ? static_cast<const int8_t*>(args.inputs[2])[s] : 0;
    alignas(kAlignment) std::array<uint8_t, kBuffered + kSlackBytes> raised;
    for (int64_t done = 0; done < count; done += kBuffered) {
      const int64_t part = std::min(kBuffered, count - done);
      for (int64_t i = 0; i < part; ++i) raised[static_cast<size_t>(i)] = x[at + done + i] ^ 0x80;
      step.kernels->dequantize_u8f32(raised.data(), y + at + done, part, scale[s], zero + 128);
    }
  });
}

void plan(PlanContext& context) {
  const ScaleLayout layout(context);
  const DType dtype = context.input(0).dtype;
  if (dtype == DType::kInt32 || !layout.has_runs()) return;
  context.emit(dtype == DType::kUInt8 ? run_uint8 : run_int8,
               Step{&context.kernels(), layout, context.has_input(2)});
}

SANDERLING_OPERATOR(dequantize_linear)({.name = "DequantizeLinear",
                                        .since_opset = 10,
                                        .min_inputs = 2,
                                        .max_inputs = 3,
                                        .infer = infer,
                                        .reference = reference,
                                        .plan = plan});

}  // namespace
}  // namespace sanderling
