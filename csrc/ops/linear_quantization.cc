#include "ops/linear_quantization.h"

#include <array>
#include <limits>

#include "kernels/table.h"
#include "ops/convert.h"
#include "ops/quantization.h"

namespace sanderling {
namespace {

constexpr std::array kCodeTypes{DType::kUInt8,          DType::kInt8,       DType::kUInt16,
                                DType::kInt16,          DType::kUInt4,      DType::kInt4,
                                DType::kUInt2,          DType::kInt2,       DType::kFloat8E4M3FN,
                                DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ,
                                DType::kFloat4E2M1};

bool is_code_type(DType dtype) {
  return std::find(kCodeTypes.begin(), kCodeTypes.end(), dtype) != kCodeTypes.end();
}

// The type that an attribute names; nothing if the node does not have it (or says 0, "undefined").
std::optional<DType> type_attribute(const InferContext& context, const char* name) {
  const int64_t number = context.attributes().integer(name, 0);
  if (number == 0) return std::nullopt;
  const std::optional<DType> dtype = dtype_of_onnx_number(number);
  if (!dtype)
    context.unsupported(name, " is ", number, ", which the native engine has no tensors of");
  return dtype;
}

DType code_dtype(const InferContext& context) {
  const std::optional<DType> wanted = type_attribute(context, "output_dtype");
  if (wanted && !is_code_type(*wanted))
    context.error("output_dtype is ", name_of(*wanted), ", which ONNX does not quantize to");
  if (!context.has_input(2)) return wanted.value_or(DType::kUInt8);
  const DType dtype = context.input(2).dtype;
  if (!is_code_type(dtype))
    context.error("zero point is ", name_of(dtype), ", which ONNX does not quantize to");
  if (wanted && dtype != *wanted)
    context.error("zero point is ", name_of(dtype), ", output_dtype says ", name_of(*wanted));
  return dtype;
}

// Floats of 16 bits are widened everywhere, so that they divide in float32 too.
bool divides_in_double(const InferContext& context) {
  const std::optional<DType> precision = type_attribute(context, "precision");
  if (precision && !is_float(*precision))
    context.error("precision is ", name_of(*precision), ", expected a float type");
  return precision == DType::kFloat64 ||
         (!precision && context.input(1).dtype == DType::kInt32);  // int32 / int32
}

// A scale as it is.
template <typename Scale>
double scale_value(Scale scale) {
  return static_cast<double>(widen_element(scale));
}

template <typename Visit>
void visit_scale(const ReferenceContext& context, const Visit& visit) {
  switch (context.input(1).dtype) {
    case DType::kInt32:
      return visit(context.in<int32_t>(1));
    case DType::kFloat8E8M0:
      return visit(context.in<Float8E8M0>(1));
    default:
      return visit(context.in<float>(1));
  }
}

// x / scale as an integer code of any size; NaN gives the lowest.
template <typename Code>
Code integer_code(double steps, int32_t zero_point) {
  int32_t lowest = 0, highest = 0;
  if constexpr (is_small_integer<Code>) {
    lowest = Code::lowest;
    highest = Code::highest;
  } else {
    lowest = std::numeric_limits<Code>::lowest();
    highest = std::numeric_limits<Code>::max();
  }
  const double low = lowest - zero_point, high = highest - zero_point;
  const double clamped = steps > low ? std::min(steps, high) : low;
  const auto code = static_cast<int32_t>(std::nearbyint(clamped)) + zero_point;
  if constexpr (is_small_integer<Code>)
    return Code::wrap(code);
  else
    return static_cast<Code>(code);
}

template <typename Code>
Code code_of(double steps, Code zero_point, bool saturate) {
  if constexpr (is_small_float<Code>) {
    // A zero point of a float type only says the type, except that ONNX adds that of float4.
    if constexpr (std::is_same_v<Code, Float4E2M1>) steps += static_cast<float>(zero_point);
    return Code::from(steps, saturate);
  } else if constexpr (sizeof(Code) <= 2 && !std::is_same_v<Code, bool>) {
    return integer_code<Code>(steps, static_cast<int32_t>(widen_element(zero_point)));
  } else {
    SANDERLING_ASSERT(false, "not a type of codes, of ", sizeof(Code), " bytes");
  }
}

template <typename X, typename Code, typename Scale>
void quantize_all(const ReferenceContext& context, const Scale* scales) {
  const ScaleLayout layout(context);
  const bool in_double = divides_in_double(context);
  const bool saturate = context.attributes().integer("saturate", 1) != 0;
  const Code* zeros = context.has_input(2) ? context.in<Code>(2) : nullptr;
  for (int64_t i = 0; i < context.input(0).shape.elements(); ++i) {
    const int64_t s = layout.index(i);
    const double x = static_cast<double>(context.in<X>(0)[i]), scale = scale_value(scales[s]);
    const double steps =
        in_double ? x / scale
                  : static_cast<double>(static_cast<float>(x) / static_cast<float>(scale));
    context.out<Code>(0)[i] = code_of<Code>(steps, zeros ? zeros[s] : Code{}, saturate);
  }
}

struct Step {
  const KernelTable* kernels;
  ScaleLayout layout;
  bool is_signed, has_zero_point;

  int32_t zero_point(const StepArgs& args, int64_t s) const {
    if (!has_zero_point) return 0;
    return is_signed ? static_cast<const int8_t*>(args.inputs[2])[s]
                     : static_cast<const uint8_t*>(args.inputs[2])[s];
  }
};

void run_quantize(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  const auto* scale = static_cast<const float*>(args.inputs[1]);
  auto* y = static_cast<uint8_t*>(args.outputs[0]);
  step.layout.for_each_run(*args.workers, [&](int64_t at, int64_t count, int64_t s) {
    const int32_t raised = step.zero_point(args, s) + (step.is_signed ? 128 : 0);
    step.kernels->quantize_f32u8(x + at, y + at, count, scale[s], raised);
    if (!step.is_signed) return;
    // An int8 code is the uint8 code less 128: the same bits but for the top one.
    for (int64_t i = 0; i < count; ++i) y[at + i] ^= 0x80;
  });
}

void run_dequantize_uint8(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const uint8_t*>(args.inputs[0]);
  const auto* scale = static_cast<const float*>(args.inputs[1]);
  auto* y = static_cast<float*>(args.outputs[0]);
  step.layout.for_each_run(*args.workers, [&](int64_t at, int64_t count, int64_t s) {
    step.kernels->dequantize_u8f32(x + at, y + at, count, scale[s], step.zero_point(args, s));
  });
}

// The kernel reads uint8: int8 codes go through a buffer that holds them raised by 128, which flips
// their top bit.
void run_dequantize_int8(const Step& step, const StepArgs& args) {
  constexpr int64_t kBuffered = 1024;
  const auto* x = static_cast<const uint8_t*>(args.inputs[0]);
  const auto* scale = static_cast<const float*>(args.inputs[1]);
  auto* y = static_cast<float*>(args.outputs[0]);
  step.layout.for_each_run(*args.workers, [&](int64_t at, int64_t count, int64_t s) {
    alignas(kAlignment) std::array<uint8_t, kBuffered + kSlackBytes> raised;
    for (int64_t done = 0; done < count; done += kBuffered) {
      const int64_t part = std::min(kBuffered, count - done);
      for (int64_t i = 0; i < part; ++i) raised[static_cast<size_t>(i)] = x[at + done + i] ^ 0x80;
      step.kernels->dequantize_u8f32(raised.data(), y + at + done, part, scale[s],
                                     step.zero_point(args, s) + 128);
    }
  });
}

// Codes of 16 bits, of activations that 8 bits are too few for.
template <typename Code>
void run_dequantize_wide(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const Code*>(args.inputs[0]);
  const auto* scale = static_cast<const float*>(args.inputs[1]);
  auto* y = static_cast<float*>(args.outputs[0]);
  step.layout.for_each_run(*args.workers, [&](int64_t at, int64_t count, int64_t s) {
    const int32_t zero = step.has_zero_point ? static_cast<const Code*>(args.inputs[2])[s] : 0;
    for (int64_t i = at; i < at + count; ++i)
      y[i] = static_cast<float>(static_cast<int32_t>(x[i]) - zero) * scale[s];
  });
}

template <typename Code>
void run_quantize_wide(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  const auto* scale = static_cast<const float*>(args.inputs[1]);
  auto* y = static_cast<Code*>(args.outputs[0]);
  using Limits = std::numeric_limits<Code>;
  step.layout.for_each_run(*args.workers, [&](int64_t at, int64_t count, int64_t s) {
    const int32_t zero = step.has_zero_point ? static_cast<const Code*>(args.inputs[2])[s] : 0;
    for (int64_t i = at; i < at + count; ++i)
      y[i] = static_cast<Code>(quantized(x[i], scale[s], zero, Limits::lowest(), Limits::max()));
  });
}

}  // namespace

void infer_quantize_linear(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kInt32});
  require_dtype(context, 1, {DType::kFloat32, DType::kInt32, DType::kFloat8E8M0});
  divides_in_double(context);
  const DType dtype = code_dtype(context);
  const ScaleLayout layout(context);
  context.set_output(0, dtype, context.input(0).shape);
}

void reference_quantize_linear(const ReferenceContext& context) {
  visit_scale(context, [&](const auto* scales) {
    visit_element(context.output(0).dtype, [&](auto code) {
      if (context.input(0).dtype == DType::kFloat32)
        quantize_all<float, decltype(code)>(context, scales);
      else
        quantize_all<int32_t, decltype(code)>(context, scales);
    });
  });
}

void plan_quantize_linear(PlanContext& context) {
  const ScaleLayout layout(context);
  if (context.input(0).dtype != DType::kFloat32 || context.input(1).dtype != DType::kFloat32 ||
      divides_in_double(context) || !layout.has_runs())
    return;
  const DType dtype = context.output(0).dtype;
  const Step step{&context.kernels(), layout, dtype == DType::kInt8, context.has_input(2)};
  if (dtype == DType::kUInt8 || dtype == DType::kInt8) context.emit(run_quantize, step);
  if (dtype == DType::kUInt16) context.emit(run_quantize_wide<uint16_t>, step);
  if (dtype == DType::kInt16) context.emit(run_quantize_wide<int16_t>, step);
}

void infer_dequantize_linear(InferContext& context) {
  const DType dtype = context.input(0).dtype;
  if (!is_code_type(dtype) && dtype != DType::kInt32)
    context.error("input 0 is ", name_of(dtype), ", which are no codes");
  require_dtype(context, 1, {DType::kFloat32, DType::kFloat8E8M0});
  if (context.has_input(2)) require_same_dtype(context, 0, 2);
  const std::optional<DType> wanted = type_attribute(context, "output_dtype");
  if (!wanted && context.input(1).dtype == DType::kFloat8E8M0)
    context.error("the scale is float8_e8m0fnu, which says no output type. Set output_dtype");
  if (wanted && *wanted != DType::kFloat32)
    context.unsupported("output_dtype is ", name_of(*wanted), "; the native engine gives float32");
  const ScaleLayout layout(context);
  context.set_output(0, DType::kFloat32, context.input(0).shape);
}

// The difference of integers is exact before it becomes float32.
void reference_dequantize_linear(const ReferenceContext& context) {
  const ScaleLayout layout(context);
  visit_scale(context, [&](const auto* scales) {
    visit_element(context.input(0).dtype, [&](auto example) {
      using Code = decltype(example);
      const Code* zeros = context.has_input(2) ? context.in<Code>(2) : nullptr;
      for (int64_t i = 0; i < context.input(0).shape.elements(); ++i) {
        const int64_t s = layout.index(i);
        auto steps = widen_element(context.in<Code>(0)[i]);
        if (zeros) steps -= widen_element(zeros[s]);
        context.out<float>(0)[i] =
            static_cast<float>(steps) * static_cast<float>(scale_value(scales[s]));
      }
    });
  });
}

void plan_dequantize_linear(PlanContext& context) {
  const ScaleLayout layout(context);
  if (context.input(1).dtype != DType::kFloat32 || !layout.has_runs()) return;
  const DType dtype = context.input(0).dtype;
  const Step step{&context.kernels(), layout, dtype == DType::kInt8, context.has_input(2)};
  if (dtype == DType::kUInt8) context.emit(run_dequantize_uint8, step);
  if (dtype == DType::kInt8) context.emit(run_dequantize_int8, step);
  if (dtype == DType::kUInt16) context.emit(run_dequantize_wide<uint16_t>, step);
  if (dtype == DType::kInt16) context.emit(run_dequantize_wide<int16_t>, step);
}

}  // namespace sanderling
