#include <cstring>

#include "graph/operator.h"

namespace sanderling {
namespace {

template <typename T>
Tensor list_of(const std::vector<T>& values) {
  return Tensor::of<T>(Shape{static_cast<int64_t>(values.size())}, std::span<const T>(values));
}

// The one attribute that holds the value; value_float and the like exist since opset 12.
Tensor value_of(const InferContext& context) {
  const Attributes& attributes = context.attributes();
  for (const char* name : {"value", "sparse_value"})
    if (const Tensor* value = attributes.tensor(name)) return *value;
  if (attributes.has("value_float")) return Tensor::scalar(attributes.number("value_float", 0.0f));
  if (attributes.has("value_int")) return Tensor::scalar(attributes.integer("value_int", 0));
  if (attributes.has("value_floats")) return list_of(attributes.numbers("value_floats", {}));
  if (attributes.has("value_ints")) return list_of(attributes.integers("value_ints", {}));
  if (attributes.all().empty()) context.error("has no value");
  context.unsupported("holds its value as '", attributes.all().begin()->first,
                      "'; the native engine takes numbers. Use the onnxruntime backend");
}

void infer(InferContext& context) {
  const Tensor value = value_of(context);
  context.set_output(0, value.dtype(), value.shape());
}

void reference(const ReferenceContext& context) {
  const Tensor value = value_of(context);
  if (const size_t bytes = value.type().bytes(); bytes != 0)
    std::memcpy(context.raw_output(0), value.raw(), bytes);
}

SANDERLING_OPERATOR(constant)({.name = "Constant",
                               .since_opset = 7,
                               .min_inputs = 0,
                               .max_inputs = 0,
                               .infer = infer,
                               .reference = reference});

}  // namespace
}  // namespace sanderling
