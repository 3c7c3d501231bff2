#include "ops/cast_elements.h"

namespace sanderling {
namespace {

DType target(const InferContext& context) {
  if (!context.attributes().has("to")) context.error("has no attribute 'to'");
  const int64_t number = context.attributes().integer("to", 0);
  const std::optional<DType> dtype = dtype_of_onnx_number(number);
  if (!dtype)
    context.unsupported("casts to TensorProto.DataType ", number,
                        ", which the native engine has no tensors of. Use the onnxruntime backend");
  return *dtype;
}

void infer(InferContext& context) { infer_cast(context, target(context)); }

bool same_type(const InferContext& context) { return target(context) == context.input(0).dtype; }

SANDERLING_OPERATOR(cast)({.name = "Cast",
                           .since_opset = 6,
                           .infer = infer,
                           .reference = reference_cast,
                           .plan = plan_cast,
                           .view_if = same_type});

}  // namespace
}  // namespace sanderling
