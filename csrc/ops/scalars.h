// Inputs of one element that a shape rule reads.
#pragma once

#include "ops/convert.h"
#include "ops/node_checks.h"

namespace sanderling {

// An input of one integer, within [least, most].
inline int64_t scalar_integer(const InferContext& context, size_t input, const char* what,
                              int64_t least, int64_t most) {
  require_dtype(context, input, {DType::kInt32, DType::kInt64});
  require_one_element(context, input, what);
  const KnownTensor tensor = context.constant(input);
  const int64_t value =
      tensor.dtype() == DType::kInt32 ? tensor.data<int32_t>()[0] : tensor.data<int64_t>()[0];
  if (value < least || value > most)
    context.error(what, " is ", value, ", expected ", least, " to ", most);
  return value;
}

// An input of one float.
inline double scalar_number(const InferContext& context, size_t input, const char* what) {
  require_dtype(context, input, {DType::kFloat32, DType::kFloat64});
  require_one_element(context, input, what);
  const KnownTensor tensor = context.constant(input);
  return tensor.dtype() == DType::kFloat32 ? static_cast<double>(tensor.data<float>()[0])
                                           : tensor.data<double>()[0];
}

// Attribute output_datatype, a type that is a number; float32 where it is missing.
inline DType output_datatype(const InferContext& context) {
  const int64_t number = context.attributes().integer("output_datatype", 1);
  const std::optional<DType> dtype = dtype_of_onnx_number(number);
  bool is_number = dtype && *dtype != DType::kBool;
  if (is_number)
    visit_element(*dtype, [&](auto zero) {
      is_number = !is_small_float<decltype(zero)> && !is_small_integer<decltype(zero)>;
    });
  if (!is_number)
    context.error("output_datatype is ", number, ", which is no element type of numbers");
  return *dtype;
}

}  // namespace sanderling
