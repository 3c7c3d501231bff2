#include <algorithm>

#include "ops/ai_onnx_ml/linear.h"
#include "ops/ai_onnx_ml/post_transform.h"

namespace sanderling {
namespace {

struct Classifier {
  LinearModel model;
  std::vector<int64_t> labels;
  PostTransform transform;

  // One score is of the second of two classes; without two labels it is a column of its own.
  int64_t columns() const { return model.targets == 1 && labels.size() == 2 ? 2 : model.targets; }
};

Classifier classifier(const InferContext& context) {
  Classifier made{linear_model(context, 0), class_labels(context, "classlabels_ints"),
                  post_transform(context)};
  const auto labels = static_cast<int64_t>(made.labels.size());
  if (made.model.targets > 1 && labels != made.model.targets)
    context.error("has ", labels, " class labels for ", made.model.targets, " classes");
  return made;
}

void infer(InferContext& context) {
  const Classifier made = classifier(context);
  const int64_t rows = rows_of(context).count;
  context.set_output(0, DType::kInt64, Shape{rows});
  context.set_output(1, DType::kFloat32, Shape{rows, made.columns()});
}

// The label of one row with one score, and its scores; of a single label, class 1 or 0.
int64_t decide(const Classifier& made, double score, double* scores) {
  const bool two = made.labels.size() == 2;
  scores[0] = score;
  if (two)
    two_scores(made.transform, score, true, scores);
  else
    transform_targets(made.transform, scores, 1);
  if (score > 0) return two ? made.labels[1] : 1;
  return two ? made.labels[0] : 0;
}

// `scores` has room for columns() values. labels and probabilities may be nullptr.
template <typename T>
void predict(const Classifier& made, const T* x, int64_t rows, double* scores, int64_t* labels,
             float* probabilities) {
  const LinearModel& model = made.model;
  const int64_t columns = made.columns();
  for (int64_t row = 0; row < rows; ++row, x += model.features) {
    int64_t label = 0;
    if (model.targets == 1) {
      label = decide(made, linear_score(model, x, 0), scores);
    } else {
      for (int64_t c = 0; c < columns; ++c) scores[c] = linear_score(model, x, c);
      label = made.labels[static_cast<size_t>(std::max_element(scores, scores + columns) - scores)];
      transform_scores(made.transform, scores, columns);
    }
    if (labels) labels[row] = label;
    for (int64_t c = 0; probabilities && c < columns; ++c)
      probabilities[row * columns + c] = static_cast<float>(scores[c]);
  }
}

void reference(const ReferenceContext& context) {
  const Classifier made = classifier(context);
  std::vector<double> scores(static_cast<size_t>(made.columns()));
  visit_features(context.input(0).dtype, [&](auto zero) {
    predict(made, context.in<decltype(zero)>(0), rows_of(context).count, scores.data(),
            context.has_output(0) ? context.out<int64_t>(0) : nullptr,
            context.has_output(1) ? context.out<float>(1) : nullptr);
  });
}

struct Step {
  std::shared_ptr<const Classifier> classifier;
  int64_t rows, grain;
  ClassifierOutputs outputs;
};

template <typename T>
void run(const Step& step, const StepArgs& args) {
  const Classifier& made = *step.classifier;
  auto* const labels = step.outputs.labels(args);
  auto* const probabilities = step.outputs.scores(args);
  args.workers->for_each((step.rows + step.grain - 1) / step.grain, [&](int64_t task, int thread) {
    const int64_t begin = task * step.grain;
    predict(
        made, static_cast<const T*>(args.inputs[0]) + begin * made.model.features,
        std::min(step.grain, step.rows - begin),
        reinterpret_cast<double*>(args.scratch + static_cast<size_t>(thread) * args.scratch_stride),
        labels ? labels + begin : nullptr,
        probabilities ? probabilities + begin * made.columns() : nullptr);
  });
}

void plan(PlanContext& context) {
  const auto made = context.shared<Classifier>("model", [&] { return classifier(context); });
  context.scratch(static_cast<size_t>(made->columns()) * sizeof(double));
  const Step step{made, rows_of(context).count, linear_grain(made->model),
                  ClassifierOutputs(context)};
  visit_features(context.input(0).dtype,
                 [&](auto zero) { context.emit(run<decltype(zero)>, step); });
}

SANDERLING_OPERATOR(linear_classifier)({.name = "ai.onnx.ml.LinearClassifier",
                                        .since_opset = 1,
                                        .max_outputs = 2,
                                        .infer = infer,
                                        .reference = reference,
                                        .plan = plan,
                                        .macs = linear_macs});

}  // namespace
}  // namespace sanderling
