// Operands of ONNX's operators on 8-bit codes (QLinearConv, MatMulInteger and so on): uint8 or
// int8, each with a scale and a zero point that are inputs of the node.
#pragma once

#include "ops/broadcast.h"
#include "ops/quantization.h"

namespace sanderling {

constexpr size_t kLeftOut = ~size_t{0};  // an input that an operator does not have

inline void require_codes(const InferContext& context, size_t input) {
  require_dtype(context, input, {DType::kUInt8, DType::kInt8});
}

// Codes as numbers.
class CodeInput {
 public:
  CodeInput(const ReferenceContext& context, size_t input)
      : data_(context.raw_input(input)), is_signed_(context.input(input).dtype == DType::kInt8) {}
  int32_t operator[](int64_t i) const {
    return is_signed_ ? static_cast<const int8_t*>(data_)[i]
                      : static_cast<const uint8_t*>(data_)[i];
  }

 private:
  const void* data_;
  bool is_signed_;
};

// Checks the scale and the zero point (either may be kLeftOut, the zero point also absent) of codes
// of type `dtype`; one number each, as far as `scales` is 1.
inline void require_parameters(const InferContext& context, DType dtype, size_t scale, size_t zero,
                               int64_t scales = 1) {
  const auto require_count = [&](size_t input, const char* what) {
    const Shape& shape = context.input(input).shape;
    if (shape.elements() == 1 || (shape.rank() == 1 && shape[0] == scales)) return;
    context.error(what, " (input ", input, ") has shape ", shape.to_string(), ", expected ",
                  scales == 1 ? std::string("a single value") : cat("one value or [", scales, "]"));
  };
  if (scale != kLeftOut) {
    require_dtype(context, scale, {DType::kFloat32});
    require_count(scale, "the scale");
  }
  if (zero == kLeftOut || !context.has_input(zero)) return;
  if (context.input(zero).dtype != dtype)
    context.error("the zero point (input ", zero, ") is ", name_of(context.input(zero).dtype),
                  ", its codes are ", name_of(dtype), "; they must be the same");
  require_count(zero, "the zero point");
}

// The scale and zero point of one tensor or one channel of it.
struct CodeParameters {
  float scale = 1.0f;
  int32_t zero_point = 0;

  float real(int32_t code) const { return static_cast<float>(code - zero_point) * scale; }
};

// Those of channel `channel`, where there is one pair per channel, else of the whole tensor.
inline CodeParameters code_parameters(const ReferenceContext& context, size_t scale, size_t zero,
                                      int64_t channel = 0) {
  CodeParameters result;
  const auto at = [&](size_t input) {
    return context.input(input).shape.elements() == 1 ? 0 : channel;
  };
  if (scale != kLeftOut) result.scale = context.in<float>(scale)[at(scale)];
  if (zero != kLeftOut && context.has_input(zero))
    result.zero_point = CodeInput(context, zero)[at(zero)];
  return result;
}

// The code of a number of steps from the zero point, as every integer operator ends.
inline void put_code(const ReferenceContext& context, int64_t i, float steps, int32_t zero_point) {
  if (context.output(0).dtype == DType::kInt8)
    context.out<int8_t>(0)[i] = static_cast<int8_t>(quantized(steps, 1.0f, zero_point, -128, 127));
  else
    context.out<uint8_t>(0)[i] = static_cast<uint8_t>(quantized(steps, 1.0f, zero_point, 0, 255));
}

// The code of a real number: QuantizeLinear.
inline void put_real(const ReferenceContext& context, int64_t i, float real,
                     const CodeParameters& y) {
  put_code(context, i, real / y.scale, y.zero_point);
}

// The low 32 bits of an exact sum: what int32 accumulators hold.
inline int32_t low_bits(int64_t sum) { return static_cast<int32_t>(static_cast<uint32_t>(sum)); }

}  // namespace sanderling
