#include "ops/ai_onnx_ml/tree_regression.h"

namespace sanderling {
namespace {

// An attribute that is a number of an enumeration whose last one is `last`.
template <typename Enum>
Enum numbered(const InferContext& context, const char* name, Enum otherwise, Enum last) {
  const int64_t number = context.attributes().integer(name, static_cast<int64_t>(otherwise));
  if (number < 0 || number > static_cast<int64_t>(last))
    context.error(name, " is ", number, ", ONNX has 0 to ", static_cast<int64_t>(last));
  return static_cast<Enum>(number);
}

Aggregate aggregate(const InferContext& context) {
  return numbered(context, "aggregate_function", Aggregate::kSum, Aggregate::kMax);
}

PostTransform transform(const InferContext& context) {
  return numbered(context, "post_transform", PostTransform::kNone, PostTransform::kProbit);
}

Ensemble read(const InferContext& context) {
  Ensemble ensemble = read_tree_ensemble(context, target_count(context));
  ensemble.aggregate = aggregate(context);
  return ensemble;
}

TreeRegression finish(const InferContext& context, const Ensemble& ensemble) {
  return {transform(context), ensemble, context.input(0).dtype == DType::kFloat64};
}

// The trees are read by plan and reference: that takes as long as making a plan does.
void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  aggregate(context);
  transform(context);
  context.set_output(0, context.input(0).dtype,
                     Shape{rows_of(context).count, target_count(context)});
}

void reference(const ReferenceContext& context) {
  const Ensemble ensemble = read(context);
  reference_trees(context, ensemble, finish(context, ensemble));
}

void plan(PlanContext& context) { plan_trees(context, read, finish); }

SANDERLING_OPERATOR(tree_ensemble)({.name = "ai.onnx.ml.TreeEnsemble",
                                    .since_opset = 5,
                                    .infer = infer,
                                    .reference = reference,
                                    .plan = plan,
                                    .nan = NanRule::kMeans});

}  // namespace
}  // namespace sanderling
