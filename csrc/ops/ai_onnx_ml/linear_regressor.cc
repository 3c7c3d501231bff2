#include "ops/ai_onnx_ml/linear.h"
#include "ops/ai_onnx_ml/post_transform.h"

namespace sanderling {
namespace {

LinearModel model_of(const InferContext& context) {
  const int64_t targets = context.attributes().integer("targets", 1);
  if (targets < 1) context.error("targets is ", targets, ", expected at least 1");
  return linear_model(context, targets);
}

void infer(InferContext& context) {
  const LinearModel model = model_of(context);
  post_transform(context);
  context.set_output(0, DType::kFloat32, Shape{rows_of(context).count, model.targets});
}

template <typename T>
void predict(const LinearModel& model, PostTransform transform, const T* x, float* y,
             int64_t rows) {
  for (int64_t row = 0; row < rows; ++row, x += model.features, y += model.targets) {
    for (int64_t target = 0; target < model.targets; ++target)
      y[target] = static_cast<float>(linear_score(model, x, target));
    transform_targets(transform, y, model.targets);
  }
}

void reference(const ReferenceContext& context) {
  visit_features(context.input(0).dtype, [&](auto zero) {
    predict(model_of(context), post_transform(context), context.in<decltype(zero)>(0),
            context.out<float>(0), rows_of(context).count);
  });
}

struct Step {
  std::shared_ptr<const LinearModel> model;
  PostTransform transform;
  int64_t rows, grain;
};

template <typename T>
void run(const Step& step, const StepArgs& args) {
  const LinearModel& model = *step.model;
  for_each_range(*args.workers, step.rows, step.grain, [&](int64_t begin, int64_t end) {
    predict(model, step.transform, static_cast<const T*>(args.inputs[0]) + begin * model.features,
            static_cast<float*>(args.outputs[0]) + begin * model.targets, end - begin);
  });
}

void plan(PlanContext& context) {
  const auto model = context.shared<LinearModel>("model", [&] { return model_of(context); });
  const Step step{model, post_transform(context), rows_of(context).count, linear_grain(*model)};
  visit_features(context.input(0).dtype,
                 [&](auto zero) { context.emit(run<decltype(zero)>, step); });
}

SANDERLING_OPERATOR(linear_regressor)({.name = "ai.onnx.ml.LinearRegressor",
                                       .since_opset = 1,
                                       .infer = infer,
                                       .reference = reference,
                                       .plan = plan,
                                       .macs = linear_macs});

}  // namespace
}  // namespace sanderling
