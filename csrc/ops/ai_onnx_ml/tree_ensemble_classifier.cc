#include <algorithm>

#include "ops/ai_onnx_ml/post_transform.h"
#include "ops/ai_onnx_ml/tree_steps.h"

namespace sanderling {
namespace {

// The label and the scores of a row. ONNX leaves open what a model of two classes means that has
// weights for one of them only, which is what converters write; it is what ONNX Runtime does:
//   - the weights of class 0 are the score s of the second class (two_scores). Are all of them
//     positive, then s is a probability, and the second class wins above 1/2; else above 0;
//   - the weights of class 1 are its score, class 0 has none, and the same decides.
// Of a single class the label is 1 or 0. All else is ONNX's: the top class.
struct TreeClassification {
  std::vector<int64_t> labels;
  PostTransform transform;
  std::vector<double> base;
  int64_t column;  // of two classes the only one with weights; else -1
  bool all_positive;
  ClassifierOutputs wanted;

  struct Outputs {
    int64_t* labels;
    float* scores;
    Outputs(int64_t* label, float* score) : labels(label), scores(score) {}
    explicit Outputs(const ReferenceContext& context)
        : labels(context.has_output(0) ? context.out<int64_t>(0) : nullptr),
          scores(context.has_output(1) ? context.out<float>(1) : nullptr) {}
  };
  Outputs outputs(const StepArgs& args) const { return {wanted.labels(args), wanted.scores(args)}; }

  int64_t classes() const { return static_cast<int64_t>(labels.size()); }

  template <typename T>
  void operator()(int64_t row, const Tally<T>& tally, const Outputs& outputs) const {
    for (size_t i = 0; i < base.size(); ++i) {
      tally.scores[i] += static_cast<T>(base[i]);
      tally.voted[i] = true;
    }
    const int64_t label = decide(tally);
    if (outputs.labels) outputs.labels[row] = label;
    for (int64_t c = 0; outputs.scores && c < classes(); ++c)
      outputs.scores[row * classes() + c] = static_cast<float>(tally.scores[c]);
  }

 private:
  // Transforms the scores too.
  template <typename T>
  int64_t decide(const Tally<T>& tally) const {
    T* const scores = tally.scores;
    if (classes() == 1) {
      const bool positive = scores[0] > 0;
      transform_targets(transform, scores, 1);
      return positive ? 1 : 0;
    }
    if (column >= 0) {
      const T s = scores[column];
      if (column == 1)
        transform_scores(transform, scores, 2);
      else
        two_scores(transform, s, all_positive, scores);
      return labels[s > (all_positive ? T{0.5} : T{0}) ? 1 : 0];
    }
    const int64_t top = top_class(tally);
    transform_scores(transform, scores, classes());
    return labels[static_cast<size_t>(top)];
  }

  // Classes without a vote do not win over those with one.
  template <typename T>
  int64_t top_class(const Tally<T>& tally) const {
    int64_t top = -1;
    for (int64_t c = 0; c < classes(); ++c)
      if (tally.voted[c] && (top < 0 || tally.scores[c] > tally.scores[top])) top = c;
    return std::max<int64_t>(top, 0);
  }
};

std::vector<int64_t> labels(const InferContext& context) {
  return class_labels(context, "classlabels_int64s");
}

// The only class with weights, or -1.
int64_t only_column(const Ensemble& ensemble) {
  const std::vector<Vote>& votes = ensemble.votes;
  if (votes.empty()) return -1;
  const bool one = std::all_of(votes.begin(), votes.end(),
                               [&](const Vote& vote) { return vote.target == votes[0].target; });
  return one ? votes[0].target : -1;
}

Ensemble read(const InferContext& context) {
  const auto classes = static_cast<int64_t>(labels(context).size());
  Ensemble ensemble = read_ensemble(context, "class", classes);
  const auto values = static_cast<int64_t>(ensemble.base.size());
  // One value for two classes is that of the one with weights; of the second, ONNX Runtime ignores
  // it.
  const bool of_first = classes == 2 && values == 1 && only_column(ensemble) == 0;
  if (values != 0 && values != classes && !of_first)
    context.error("base_values has ", values, " values for ", classes, " classes");
  return ensemble;
}

TreeClassification finish(const InferContext& context, const Ensemble& ensemble) {
  const bool all_positive = std::all_of(ensemble.votes.begin(), ensemble.votes.end(),
                                        [](const Vote& vote) { return vote.weight >= 0; });
  return {labels(context), post_transform(context),
          ensemble.base,   ensemble.targets == 2 ? only_column(ensemble) : -1,
          all_positive,    ClassifierOutputs(context)};
}

// The trees are read by plan and reference: that takes as long as making a plan does.
void infer(InferContext& context) {
  post_transform(context);
  const int64_t rows = rows_of(context).count;
  context.set_output(0, DType::kInt64, Shape{rows});
  context.set_output(1, DType::kFloat32, Shape{rows, static_cast<int64_t>(labels(context).size())});
}

void reference(const ReferenceContext& context) {
  const Ensemble ensemble = read(context);
  reference_trees(context, ensemble, finish(context, ensemble));
}

void plan(PlanContext& context) { plan_trees(context, read, finish); }

SANDERLING_OPERATOR(tree_ensemble_classifier)({.name = "ai.onnx.ml.TreeEnsembleClassifier",
                                               .since_opset = 1,
                                               .max_outputs = 2,
                                               .infer = infer,
                                               .reference = reference,
                                               .plan = plan,
                                               .nan = NanRule::kMeans});

}  // namespace
}  // namespace sanderling
