#include <limits>

#include "ops/code_operands.h"

namespace sanderling {
namespace {

// Y's scale and zero point, then X, scale and zero point of each input.
constexpr size_t kFirst = 2, kEach = 3;

int64_t concat_axis(const InferContext& context) {
  if (!context.attributes().has("axis")) context.error("has no axis");
  return checked_axis(context, context.attributes().integer("axis", 0),
                      context.input(kFirst).shape.rank());
}

void infer(InferContext& context) {
  require_codes(context, 1);
  if (context.inputs() % kEach != kFirst)
    context.error("has ", context.inputs(), " inputs, expected 2 and 3 for each tensor");
  const DType dtype = context.input(1).dtype;
  const Shape& first = context.input(kFirst).shape;
  require_parameters(context, dtype, 0, 1);
  const int64_t axis = concat_axis(context);
  std::vector<int64_t> dims = first.dims();
  dims[static_cast<size_t>(axis)] = 0;
  for (size_t i = kFirst; i < context.inputs(); i += kEach) {
    require_same_dtype(context, 1, i);
    require_parameters(context, dtype, i + 1, i + 2);
    const Shape& shape = context.input(i).shape;
    bool fits = shape.rank() == first.rank();
    for (int64_t d = 0; fits && d < shape.rank(); ++d) fits = d == axis || shape[d] == first[d];
    if (!fits)
      context.error("input ", i, " has shape ", shape.to_string(), ", input ", kFirst,
                    " has shape ", first.to_string(), "; only extents along axis ", axis,
                    " may differ");
    dims[static_cast<size_t>(axis)] += shape[axis];
  }
  context.set_output(0, dtype, checked_shape(context, std::move(dims)));
}

void reference(const ReferenceContext& context) {
  const int64_t axis = concat_axis(context);
  const CodeParameters y = code_parameters(context, 0, 1);
  int64_t to = 0;
  for (int64_t outer = 0; outer < context.output(0).shape.elements(0, axis); ++outer) {
    for (size_t i = kFirst; i < context.inputs(); i += kEach) {
      const CodeParameters x = code_parameters(context, i + 1, i + 2);
      const CodeInput codes(context, i);
      const Shape& shape = context.input(i).shape;
      const int64_t count = shape.elements(axis, shape.rank());
      for (int64_t k = 0; k < count; ++k, ++to) {
        const int32_t code = codes[outer * count + k];
        if (x.scale == y.scale &&
            x.zero_point == y.zero_point)  // the code itself, not its rounding
          put_code(context, to, static_cast<float>(code - y.zero_point), y.zero_point);
        else
          put_real(context, to, x.real(code), y);
      }
    }
  }
}

SANDERLING_OPERATOR(qlinear_concat)({.name = "com.microsoft.QLinearConcat",
                                     .since_opset = 1,
                                     .min_inputs = kFirst + kEach,
                                     .max_inputs = std::numeric_limits<size_t>::max(),
                                     .infer = infer,
                                     .reference = reference});

}  // namespace
}  // namespace sanderling
