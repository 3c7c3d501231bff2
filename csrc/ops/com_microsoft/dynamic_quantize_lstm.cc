// LSTM whose weights are codes, transposed. ONNX Runtime also quantizes what it multiplies them by,
// for the speed of it; here that stays real, which is nearer to the model before it was quantized.
// The lowering pass makes an LSTM with real weights of it, which has kernels.
#include <optional>

#include "ops/code_operands.h"
#include "ops/lstm.h"

namespace sanderling {
namespace {

constexpr size_t kWScale = 8, kWZero = 9, kRScale = 10, kRZero = 11;

// [directions, depth, columns] as LSTM has them: [directions, columns, depth].
Shape transposed(const InferContext& context, size_t weights) {
  const Shape& shape = context.input(weights).shape;
  if (shape.rank() != 3)
    context.error(weights == kW ? "w" : "r", " has shape ", shape.to_string(), ", expected rank 3");
  return Shape{shape[0], shape[2], shape[1]};
}

void check_weights(const InferContext& context, size_t weights, size_t scale, size_t zero) {
  require_codes(context, weights);
  require_dtype(context, scale, {DType::kFloat32});
  const Shape& shape = context.input(weights).shape;
  if (shape.rank() != 3) return;  // which is said of its type
  const Shape each{shape[0]}, every{shape[0], shape[2]};
  for (size_t i : {scale, zero}) {
    const Shape& given = context.input(i).shape;
    if (given != each && given != every)
      context.error(i == scale ? "the scale" : "the zero point", " (input ", i, ") has shape ",
                    given.to_string(), ", expected ", each.to_string(), " or ", every.to_string());
  }
  require_same_dtype(context, weights, zero);
}

Tensor real_weights(const ReferenceContext& context, size_t weights, size_t scale, size_t zero) {
  const Shape& shape = context.input(weights).shape;
  Tensor result(DType::kFloat32, transposed(context, weights));
  const CodeInput codes(context, weights), zeros(context, zero);
  const int64_t depth = shape[1], columns = shape[2];
  const auto along = [&](size_t input, int64_t d, int64_t n) {
    return context.input(input).shape.rank() == 1 ? d : d * columns + n;
  };
  float* to = result.mutable_data<float>().data();
  for (int64_t d = 0; d < shape[0]; ++d)
    for (int64_t n = 0; n < columns; ++n)
      for (int64_t k = 0; k < depth; ++k)
        *to++ =
            static_cast<float>(codes[(d * depth + k) * columns + n] - zeros[along(zero, d, n)]) *
            context.in<float>(scale)[along(scale, d, n)];
  return result;
}

// The node as an LSTM's sees it.
struct RealNode {
  TensorType w, r;
  std::vector<const TensorType*> inputs;
  std::vector<const void*> known;
  std::vector<TensorType> outputs;

  explicit RealNode(const InferContext& context)
      : w(DType::kFloat32, transposed(context, kW)),
        r(DType::kFloat32, transposed(context, kR)),
        known(kP + 1),
        outputs(context.outputs()) {
    for (size_t i = 0; i <= kP; ++i) {
      const TensorType* const type = context.has_input(i) ? &context.input(i) : nullptr;
      inputs.push_back(i == kW ? &w : i == kR ? &r : type);
    }
  }
  NodeView view(const InferContext& context) {
    return {context.graph(), context.node(), inputs, known, outputs};
  }
};

void infer(InferContext& context) {
  check_weights(context, kW, kWScale, kWZero);
  check_weights(context, kR, kRScale, kRZero);
  RealNode node(context);
  InferContext real(node.view(context));
  infer_lstm(real);
  for (size_t i = 0; i < node.outputs.size(); ++i)
    context.set_output(i, DType::kFloat32, node.outputs[i].shape);
}

void reference(const ReferenceContext& context) {
  RealNode node(context);
  const Tensor w = real_weights(context, kW, kWScale, kWZero);
  const Tensor r = real_weights(context, kR, kRScale, kRZero);
  std::vector<void*> data;
  for (size_t i = 0; i <= kP; ++i) node.known[i] = context.raw_input(i);
  node.known[kW] = w.data<float>().data();
  node.known[kR] = r.data<float>().data();
  for (size_t i = 0; i < context.outputs(); ++i) {
    node.outputs[i] = context.output(i);
    data.push_back(context.raw_output(i));
  }
  reference_lstm(ReferenceContext(node.view(context), data));
}

SANDERLING_OPERATOR(dynamic_quantize_lstm)({.name = "com.microsoft.DynamicQuantizeLSTM",
                                            .since_opset = 1,
                                            .min_inputs = 3,
                                            .max_inputs = 12,
                                            .max_outputs = 3,
                                            .infer = infer,
                                            .reference = reference});

}  // namespace
}  // namespace sanderling
