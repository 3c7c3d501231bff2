#include <cstring>

#include "ops/convert.h"

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

// Of one element in ONNX, where memory may take more.
int bits_of(DType dtype) {
  int bits = 0;
  visit_element(dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (is_small_integer<T>)
      bits = T::bits;
    else if constexpr (std::is_same_v<T, Float4E2M1>)
      bits = 4;
    else
      bits = 8 * static_cast<int>(sizeof(T));
  });
  return bits;
}

void infer(InferContext& context) {
  const DType from = context.input(0).dtype, to = target(context);
  if (bits_of(from) != bits_of(to))
    context.error("casts the bits of ", name_of(from), " to ", name_of(to), ": ", bits_of(from),
                  " against ", bits_of(to), " bits, which must be the same");
  context.set_output(0, to, context.input(0).shape);
}

// A bool must be 0 or 1 in memory, so any other byte is made 1. The byte of a type of fewer bits
// may have anything above them: a float of 4 bits must not.
void reference(const ReferenceContext& context) {
  const size_t bytes = context.input(0).bytes();
  if (bytes != 0) std::memcpy(context.raw_output(0), context.raw_input(0), bytes);
  auto* y = static_cast<uint8_t*>(context.raw_output(0));
  for (size_t i = 0; i < bytes; ++i) {
    if (context.output(0).dtype == DType::kBool) y[i] = y[i] != 0 ? 1 : 0;
    if (context.output(0).dtype == DType::kFloat4E2M1) y[i] &= 0x0f;
  }
}

SANDERLING_OPERATOR(bit_cast)({.name = "BitCast",
                               .since_opset = 26,
                               .infer = infer,
                               .reference = reference,
                               .elementwise = true});

}  // namespace
}  // namespace sanderling
