#include "ops/element_types.h"
#include "ops/node_checks.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

int64_t features_of(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  return shape[shape.rank() - 1];
}

// The indices, each within the last axis.
std::span<const int64_t> checked_indices(const InferContext& context) {
  const std::span<const int64_t> indices = context.constant(1).data<int64_t>();
  for (int64_t index : indices)
    if (index < 0 || index >= features_of(context))
      context.error("index ", index, " is outside of the last axis of ",
                    context.input(0).shape.to_string());
  return indices;
}

// A vector gives a matrix of one row, as ONNX's reference and ONNX Runtime have it.
void infer(InferContext& context) {
  const Shape& shape = context.input(0).shape;
  if (shape.rank() == 0) context.error("input 0 is a scalar, expected an axis to select from");
  require_dtype(context, 1, {DType::kInt64});
  if (context.is_known(1)) checked_indices(context);
  std::vector<int64_t> dims = shape.dims();
  dims.back() = context.input(1).shape.elements();
  if (dims.size() == 1) dims.insert(dims.begin(), 1);
  context.set_output(0, context.input(0).dtype,
                     checked_shape(context, [&] { return Shape(std::move(dims)); }));
}

template <typename T>
void select(const T* x, T* y, int64_t features, std::span<const int64_t> indices, int64_t begin,
            int64_t end) {
  const auto count = static_cast<int64_t>(indices.size());
  for (int64_t row = begin; row < end; ++row)
    for (int64_t i = 0; i < count; ++i)
      y[row * count + i] = x[row * features + indices[static_cast<size_t>(i)]];
}

int64_t row_count(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  return shape.elements(0, shape.rank() - 1);
}

void reference(const ReferenceContext& context) {
  const std::span<const int64_t> indices = checked_indices(context);
  visit_width(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    select(static_cast<const T*>(context.raw_input(0)), static_cast<T*>(context.raw_output(0)),
           features_of(context), indices, 0, row_count(context));
  });
}

struct Step {
  std::vector<int64_t> indices;
  int64_t rows, features;
};

template <typename T>
void run(const Step& step, const StepArgs& args) {
  const auto grain = std::max<int64_t>(1, kStreamGrain / static_cast<int64_t>(step.indices.size()));
  for_each_range(*args.workers, step.rows, grain, [&](int64_t begin, int64_t end) {
    select(static_cast<const T*>(args.inputs[0]), static_cast<T*>(args.outputs[0]), step.features,
           step.indices, begin, end);
  });
}

// Indices that are known now; others are checked as they come, by the reference.
void plan(PlanContext& context) {
  if (!context.is_known(1)) return;
  const std::span<const int64_t> indices = checked_indices(context);
  visit_width(context.input(0).dtype, [&](auto zero) {
    context.emit(run<decltype(zero)>,
                 Step{{indices.begin(), indices.end()}, row_count(context), features_of(context)});
  });
}

SANDERLING_OPERATOR(array_feature_extractor)({.name = "ai.onnx.ml.ArrayFeatureExtractor",
                                              .since_opset = 1,
                                              .min_inputs = 2,
                                              .max_inputs = 2,
                                              .infer = infer,
                                              .reference = reference,
                                              .plan = plan});

}  // namespace
}  // namespace sanderling
