#include "ops/convert.h"
#include "ops/node_checks.h"

namespace sanderling {
namespace {

// The input's, unless the node names another.
DType eye_dtype(const InferContext& context) {
  if (!context.attributes().has("dtype")) return context.input(0).dtype;
  const int64_t number = context.attributes().integer("dtype", 0);
  const std::optional<DType> dtype = dtype_of_onnx_number(number);
  if (!dtype)
    context.unsupported("gives TensorProto.DataType ", number,
                        ", which the native engine has no tensors of. Use the onnxruntime backend");
  return *dtype;
}

void infer(InferContext& context) {
  const Shape& shape = context.input(0).shape;
  if (shape.rank() != 2)
    context.error("input 0 has shape ", shape.to_string(), ", expected rows and columns");
  context.attributes().integer("k", 0);  // throws if its type is wrong
  context.set_output(0, eye_dtype(context), shape);
}

void reference(const ReferenceContext& context) {
  const Shape& shape = context.output(0).shape;
  // Further diagonals are outside as well, and these overflow nowhere.
  const int64_t k =
      std::clamp(context.attributes().integer("k", 0), -Shape::kMaxElements, Shape::kMaxElements);
  visit_element(context.output(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    T* const y = context.out<T>(0);
    for (int64_t row = 0; row < shape[0]; ++row)
      for (int64_t column = 0; column < shape[1]; ++column)
        y[row * shape[1] + column] =
            convert_element<T>(static_cast<int64_t>(column == row + k), true);
  });
}

SANDERLING_OPERATOR(eye_like)({.name = "EyeLike",
                               .since_opset = 9,
                               .infer = infer,
                               .reference = reference,
                               .from_types = true});

}  // namespace
}  // namespace sanderling
