#include <limits>

#include "kernels/table.h"
#include "ops/element_types.h"
#include "ops/quantization.h"

namespace sanderling {
namespace {

// TensorProto.DataType of the attribute output_dtype (opset 21).
enum OnnxType : int64_t { kAbsent = 0, kOnnxFloat32 = 1, kOnnxUInt8 = 2, kOnnxInt8 = 3 };

DType code_dtype(const InferContext& context) {
  const int64_t wanted = context.attributes().integer("output_dtype", kAbsent);
  if (wanted != kAbsent && wanted != kOnnxUInt8 && wanted != kOnnxInt8)
    context.unsupported("output_dtype is ", wanted,
                        "; the native engine has uint8 (2) and int8 (3)");
  const DType stated = wanted == kOnnxInt8 ? DType::kInt8 : DType::kUInt8;
  if (!context.has_input(2)) return stated;
  require_dtype(context, 2, {DType::kUInt8, DType::kInt8});
  const DType dtype = context.input(2).dtype;
  if (wanted != kAbsent && dtype != stated)
    context.error("zero point is ", name_of(dtype), ", output_dtype says ", name_of(stated));
  return dtype;
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kInt32});
  require_dtype(context, 1, {DType::kFloat32});
  if (const int64_t precision = context.attributes().integer("precision", kAbsent);
      precision != kAbsent && precision != kOnnxFloat32)
    context.unsupported("precision is ", precision, "; the native engine divides in float32 (1)");
  const DType dtype = code_dtype(context);
  const ScaleLayout layout(context);
  context.set_output(0, dtype, context.input(0).shape);
}

template <typename X, typename Code>
void quantize_all(const ReferenceContext& context) {
  const ScaleLayout layout(context);
  using Limits = std::numeric_limits<Code>;
  for (int64_t i = 0; i < context.input(0).shape.elements(); ++i) {
    const int64_t s = layout.index(i);
    const int32_t zero = context.has_input(2) ? context.in<Code>(2)[s] : 0;
    context.out<Code>(0)[i] = static_cast<Code>(quantized(static_cast<float>(context.in<X>(0)[i]),
                                                          context.in<float>(1)[s], zero,
                                                          Limits::lowest(), Limits::max()));
  }
}

void reference(const ReferenceContext& context) {
  const bool is_signed = context.output(0).dtype == DType::kInt8;
  if (context.input(0).dtype == DType::kFloat32)
    is_signed ? quantize_all<float, int8_t>(context) : quantize_all<float, uint8_t>(context);
  else
    is_signed ? quantize_all<int32_t, int8_t>(context) : quantize_all<int32_t, uint8_t>(context);
}

struct Step {
  const KernelTable* kernels;
  ScaleLayout layout;
  bool is_signed, has_zero_point;
};

int32_t zero_point(const Step& step, const StepArgs& args, int64_t s) {
  if (!step.has_zero_point) return 0;
  return step.is_signed ? static_cast<const int8_t*>(args.inputs[2])[s]
                        : static_cast<const uint8_t*>(args.inputs[2])[s];
}

void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  const auto* scale = static_cast<const float*>(args.inputs[1]);
  auto* y = static_cast<uint8_t*>(args.outputs[0]);
  step.layout.for_each_run(*args.workers, [&](int64_t at, int64_t count, int64_t s) {
    const int32_t raised = zero_point(step, args, s) + (step.is_signed ? 128 : 0);
    step.kernels->quantize_f32u8(x + at, y + at, count, scale[s], raised);
    if (!step.is_signed) return;
    // An int8 code is the uint8 code less 128: the same bits but for the top one.
    for (int64_t i = 0; i < count; ++i) y[at + i] ^= 0x80;
  });
}

void plan(PlanContext& context) {
  const ScaleLayout layout(context);
  if (context.input(0).dtype != DType::kFloat32 || !layout.has_runs()) return;
  context.emit(run, Step{&context.kernels(), layout, context.output(0).dtype == DType::kInt8,
                         context.has_input(2)});
}

SANDERLING_OPERATOR(quantize_linear)({.name = "QuantizeLinear",
                                      .since_opset = 10,
                                      .min_inputs = 2,
                                      .max_inputs = 3,
                                      .infer = infer,
                                      .reference = reference,
                                      .plan = plan});

}  // namespace
}  // namespace sanderling
