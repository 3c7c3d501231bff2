// Where b and all scales are constant, the lowering pass makes the engine's own QGemm of it.
#include "ops/code_operands.h"
#include "ops/gemm_extents.h"

namespace sanderling {
namespace {

constexpr size_t kAScale = 1, kAZero = 2, kB = 3, kBScale = 4, kBZero = 5, kC = 6, kYScale = 7,
                 kYZero = 8;

void infer(InferContext& context) {
  require_codes(context, 0);
  require_codes(context, kB);
  const GemmExtents e = gemm_extents(context, kB);
  require_parameters(context, context.input(0).dtype, kAScale, kAZero);
  require_parameters(context, context.input(kB).dtype, kBScale, kBZero, e.columns);
  const Shape result = checked_shape(context, {e.rows, e.columns});
  if (context.has_input(kC)) {
    require_dtype(context, kC, {DType::kInt32});
    check_gemm_c(context, kC, result);
  }
  if (context.has_input(kYScale) != context.has_input(kYZero))
    context.error("has one of y_scale and y_zero_point; give both for codes or none for float32");
  const bool codes = context.has_input(kYZero);
  if (codes) {
    require_codes(context, kYZero);
    require_parameters(context, context.input(kYZero).dtype, kYScale, kYZero);
  }
  context.set_output(0, codes ? context.input(kYZero).dtype : DType::kFloat32, result);
}

// c counts in alpha * a_scale * b_scale.
void reference(const ReferenceContext& context) {
  const GemmExtents e = gemm_extents(context, kB);
  const CodeParameters a = code_parameters(context, kAScale, kAZero);
  const CodeInput a_codes(context, 0), b_codes(context, kB);
  const bool codes = context.has_input(kYScale);
  const CodeParameters y = codes ? code_parameters(context, kYScale, kYZero) : CodeParameters{};
  const Shape& shape = context.output(0).shape;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const int64_t row = i / e.columns * e.a_row, column = i % e.columns;
    const CodeParameters b = code_parameters(context, kBScale, kBZero, column);
    int64_t sum = 0;
    for (int64_t k = 0; k < e.depth; ++k)
      sum += static_cast<int64_t>(a_codes[row + k * e.a_depth] - a.zero_point) *
             (b_codes[column * e.b_column + k * e.b_depth] - b.zero_point);
    if (context.has_input(kC))
      sum += context.in<int32_t>(kC)[broadcast_offset(shape, context.input(kC).shape, i)];
    const float b_scale = context.attributes().number("alpha", 1.0f) * b.scale;
    const double step = static_cast<double>(a.scale) * static_cast<double>(b_scale);
    const float value =
        static_cast<float>(sum) * static_cast<float>(step / static_cast<double>(y.scale));
    if (codes)
      put_code(context, i, value, y.zero_point);
    else
      context.out<float>(0)[i] = value;
  }
}

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * gemm_extents(context, kB).depth;
}

SANDERLING_OPERATOR(qgemm)({.name = "com.microsoft.QGemm",
                            .since_opset = 1,
                            .min_inputs = 6,
                            .max_inputs = 9,
                            .infer = infer,
                            .reference = reference,
                            .macs = macs});

}  // namespace
}  // namespace sanderling
