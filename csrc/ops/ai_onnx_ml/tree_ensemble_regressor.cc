#include "ops/ai_onnx_ml/tree_regression.h"

namespace sanderling {
namespace {

Aggregate aggregate(const InferContext& context) {
  return static_cast<Aggregate>(
      choice(context, "aggregate_function", "SUM", {"AVERAGE", "SUM", "MIN", "MAX"}));
}

Ensemble read(const InferContext& context) {
  Ensemble ensemble = read_ensemble(context, "target", target_count(context));
  ensemble.aggregate = aggregate(context);
  if (!ensemble.base.empty() && static_cast<int64_t>(ensemble.base.size()) != ensemble.targets)
    context.error("base_values has ", ensemble.base.size(), " values for ", ensemble.targets,
                  " targets");
  return ensemble;
}

TreeRegression finish(const InferContext& context, const Ensemble& ensemble) {
  return {post_transform(context), ensemble, false};
}

// The trees are read by plan and reference: that takes as long as making a plan does.
void infer(InferContext& context) {
  aggregate(context);
  post_transform(context);
  context.set_output(0, DType::kFloat32, Shape{rows_of(context).count, target_count(context)});
}

void reference(const ReferenceContext& context) {
  const Ensemble ensemble = read(context);
  reference_trees(context, ensemble, finish(context, ensemble));
}

void plan(PlanContext& context) { plan_trees(context, read, finish); }

SANDERLING_OPERATOR(tree_ensemble_regressor)({.name = "ai.onnx.ml.TreeEnsembleRegressor",
                                              .since_opset = 1,
                                              .infer = infer,
                                              .reference = reference,
                                              .plan = plan,
                                              .nan = NanRule::kMeans});

}  // namespace
}  // namespace sanderling
