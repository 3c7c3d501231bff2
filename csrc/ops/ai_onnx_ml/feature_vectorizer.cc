#include <algorithm>
#include <limits>

#include "ops/ai_onnx_ml/rows.h"

namespace sanderling {
namespace {

// One input: `given` features of each row, of which `taken` stand in the output; beyond what is
// given they are 0.
struct Part {
  int64_t given, taken, at;
};

struct Parts {
  int64_t rows, width;
  std::vector<Part> parts;
};

// An input as rows: a vector is one row, and the axes after the first are one.
Rows rows_of_input(const InferContext& context, size_t input) {
  require_features_dtype(context, input);
  const Shape& shape = context.input(input).shape;
  if (shape.rank() == 0) context.error("input ", input, " is a scalar, expected rows of features");
  if (shape.rank() == 1) return {1, shape[0]};
  return {shape[0], shape.elements(1, shape.rank())};
}

Parts parts_of(const InferContext& context) {
  const std::vector<int64_t> widths = context.attributes().integers("inputdimensions", {});
  if (widths.size() != context.inputs())
    context.error("inputdimensions has ", widths.size(), " values for ", context.inputs(),
                  " inputs");
  Parts made{0, 0, {}};
  for (size_t i = 0; i < context.inputs(); ++i) {
    const Rows rows = rows_of_input(context, i);
    if (i == 0) made.rows = rows.count;
    if (rows.count != made.rows)
      context.error("input ", i, " has ", rows.count, " rows, input 0 ", made.rows);
    if (widths[i] < 0 || widths[i] > Shape::kMaxElements)
      context.error("inputdimensions has the value ", widths[i]);
    made.parts.push_back({rows.features, widths[i], made.width});
    made.width += widths[i];
    if (made.width > Shape::kMaxElements) context.error("inputdimensions add up to ", made.width);
  }
  return made;
}

void infer(InferContext& context) {
  const Parts parts = parts_of(context);
  context.set_output(0, DType::kFloat32,
                     checked_shape(context, [&] { return Shape{parts.rows, parts.width}; }));
}

template <typename T>
void fill(const Part& part, const T* x, float* y, int64_t rows, int64_t width) {
  const int64_t copied = std::min(part.given, part.taken);
  for (int64_t row = 0; row < rows; ++row) {
    float* const to = y + row * width + part.at;
    for (int64_t f = 0; f < copied; ++f) to[f] = static_cast<float>(x[row * part.given + f]);
    std::fill(to + copied, to + part.taken, 0.0f);
  }
}

void reference(const ReferenceContext& context) {
  const Parts parts = parts_of(context);
  for (size_t i = 0; i < parts.parts.size(); ++i)
    visit_features(context.input(i).dtype, [&](auto zero) {
      fill(parts.parts[i], context.in<decltype(zero)>(i), context.out<float>(0), parts.rows,
           parts.width);
    });
}

SANDERLING_OPERATOR(feature_vectorizer)({.name = "ai.onnx.ml.FeatureVectorizer",
                                         .since_opset = 1,
                                         .max_inputs = std::numeric_limits<size_t>::max(),
                                         .infer = infer,
                                         .reference = reference});

}  // namespace
}  // namespace sanderling
