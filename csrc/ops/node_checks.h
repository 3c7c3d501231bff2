// What shape rules ask of a node; each failure names the operator, the node and both values.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>

#include "graph/operator.h"

namespace sanderling {

inline void require_dtype(const InferContext& context, size_t input,
                          std::initializer_list<DType> allowed) {
  const DType dtype = context.input(input).dtype;
  if (std::find(allowed.begin(), allowed.end(), dtype) != allowed.end()) return;
  std::string names;
  for (DType each : allowed) names += cat(names.empty() ? "" : ", ", name_of(each));
  context.unsupported("input ", input, " is ", name_of(dtype), "; the native engine takes ", names,
                      " here. Cast it in the model, or use the onnxruntime backend");
}

// A type that visit_number takes.
inline void require_number(const InferContext& context, size_t input) {
  if (context.input(input).dtype == DType::kBool)
    context.error("input ", input, " is bool, expected numbers");
  require_dtype(context, input,
                {DType::kFloat32, DType::kFloat64, DType::kUInt8, DType::kInt8, DType::kUInt16,
                 DType::kInt16, DType::kUInt32, DType::kInt32, DType::kUInt64, DType::kInt64});
}

inline void require_same_dtype(const InferContext& context, size_t a, size_t b) {
  if (context.input(a).dtype != context.input(b).dtype)
    context.error("input ", b, " is ", name_of(context.input(b).dtype), ", input ", a, " is ",
                  name_of(context.input(a).dtype), "; they must be the same");
}

inline void require_one_element(const InferContext& context, size_t input, const char* what) {
  if (context.input(input).shape.elements() != 1)
    context.error(what, " has shape ", context.input(input).shape.to_string(),
                  ", expected a single value");
}

// make(), a function that builds a Shape; breaking one of Shape's limits is the node's error.
template <typename Make>
Shape checked_shape(const InferContext& context, const Make& make) {
  try {
    return make();
  } catch (const Error& problem) {
    context.error(problem.what());
  }
}

inline Shape checked_shape(const InferContext& context, std::vector<int64_t> dims) {
  return checked_shape(context, [&] { return Shape(std::move(dims)); });
}

}  // namespace sanderling
