#include <algorithm>

#include "ops/ai_onnx_ml/pairwise_probabilities.h"
#include "ops/ai_onnx_ml/post_transform.h"
#include "ops/ai_onnx_ml/support_vectors.h"

namespace sanderling {
namespace {

// With support vectors every pair of classes has a classifier: its score is a row of coefficients
// times the similarities to the vectors of the two classes, and votes for one of them. Without,
// each class has a linear score. ONNX does not say so: ONNX's reference and ONNX Runtime do, and
// scikit-learn is where the models are from.
struct Classifier {
  SupportVectors support;
  std::vector<int64_t> labels;
  std::vector<float> coefficients;  // [classes - 1, vectors], or [classes, features]
  std::vector<float> rho;           // per pair; of a linear model the first is everyone's
  std::vector<float> a, b;          // per pair: the probability is a sigmoid of a * score + b
  std::vector<int64_t> starts;      // of each class's support vectors, and their end
  PostTransform transform;

  int64_t classes() const { return static_cast<int64_t>(labels.size()); }
  int64_t pairs() const { return classes() * (classes() - 1) / 2; }
  bool is_linear() const { return support.count == 0; }
  // Columns of the scores: of classes, or of pairs, but two for the only pair.
  int64_t columns() const {
    return is_linear() || !a.empty() || classes() == 2 ? classes() : pairs();
  }
  // Doubles that predict() may write to.
  int64_t scratch() const {
    if (is_linear()) return columns();
    const int64_t for_probabilities = a.empty() ? 0 : (2 * classes() + 1) * classes();
    return columns() + support.count + pairs() + classes() + for_probabilities;
  }
};

// Probabilities nearer to 0 or 1 than this are moved off them, as LIBSVM does.
constexpr double kLeastProbability = 1e-7;
// So that the number of pairs, and of all that belongs to them, is far from overflowing.
constexpr size_t kMostClasses = 65535;

void require_count(const InferContext& context, const char* what, size_t found, int64_t expected) {
  if (static_cast<int64_t>(found) != expected)
    context.error(what, " has ", found, " values, expected ", expected);
}

void read_pairs(const InferContext& context, Classifier& made) {
  const std::vector<int64_t> sizes = context.attributes().integers("vectors_per_class", {});
  if (made.classes() < 2) context.error("has one class; pairs of classes need two");
  require_count(context, "vectors_per_class", sizes.size(), made.classes());
  made.starts = {0};
  for (int64_t size : sizes) {
    if (size < 0 || size > Shape::kMaxElements || made.starts.back() > Shape::kMaxElements)
      context.error("vectors_per_class has the value ", size);
    made.starts.push_back(made.starts.back() + size);
  }
  made.support = support_vectors(context, made.starts.back());
  require_count(context, "rho", made.rho.size(), made.pairs());
  made.a = context.attributes().numbers("prob_a", {});
  made.b = context.attributes().numbers("prob_b", {});
  if (!made.a.empty()) require_count(context, "prob_a", made.a.size(), made.pairs());
  require_count(context, "prob_b", made.b.size(), static_cast<int64_t>(made.a.size()));
}

Classifier classifier(const InferContext& context) {
  const Attributes& attributes = context.attributes();
  Classifier made;
  made.labels = class_labels(context, "classlabels_ints");
  if (made.labels.size() > kMostClasses)
    context.error("has ", made.labels.size(), " classes, the limit is ", kMostClasses);
  made.coefficients = attributes.numbers("coefficients", {});
  made.rho = attributes.numbers("rho", {});
  made.transform = post_transform(context);
  const std::vector<int64_t> sizes = attributes.integers("vectors_per_class", {});
  const bool linear =
      std::all_of(sizes.begin(), sizes.end(), [](int64_t size) { return size == 0; });
  if (!linear) read_pairs(context, made);
  if (made.rho.empty()) context.error("has no rho");
  const int64_t rows = linear ? made.classes() : made.classes() - 1;
  const int64_t width = linear ? rows_of(context).features : made.support.count;
  const auto count = static_cast<int64_t>(made.coefficients.size());
  if (width == 0 || count % rows != 0 || count / rows != width)
    context.error("has ", count, " coefficients, expected ", rows, " rows of ", width);
  return made;
}

void infer(InferContext& context) {
  const Classifier made = classifier(context);
  const int64_t rows = rows_of(context).count;
  context.set_output(0, DType::kInt64, Shape{rows});
  context.set_output(1, DType::kFloat32, Shape{rows, made.columns()});
}

// Writes the score of each pair and how many pairs each class wins.
template <typename T>
void score_pairs(const Classifier& made, const T* x, double* similarities, double* scores,
                 double* votes) {
  for (int64_t v = 0; v < made.support.count; ++v) similarities[v] = made.support.similarity(x, v);
  std::fill_n(votes, made.classes(), 0.0);
  const auto part = [&](int64_t row, int64_t of) {
    const auto first = made.starts[static_cast<size_t>(of)];
    const auto end = made.starts[static_cast<size_t>(of) + 1];
    return dot(similarities + first, made.coefficients.data() + row * made.support.count + first,
               end - first);
  };
  size_t pair = 0;
  for (int64_t i = 0; i < made.classes(); ++i)
    for (int64_t j = i + 1; j < made.classes(); ++j, ++pair) {
      scores[pair] = part(j - 1, i) + part(i, j) + static_cast<double>(made.rho[pair]);
      votes[scores[pair] > 0 ? i : j] += 1.0;
    }
}

// `r` has room for 2 * classes^2 + classes values.
void probabilities_of(const Classifier& made, const double* scores, double* r, double* result) {
  const int64_t classes = made.classes();
  size_t pair = 0;
  for (int64_t i = 0; i < classes; ++i)
    for (int64_t j = i + 1; j < classes; ++j, ++pair) {
      const double p = logistic(
          -(scores[pair] * static_cast<double>(made.a[pair]) + static_cast<double>(made.b[pair])));
      r[i * classes + j] = std::clamp(p, kLeastProbability, 1.0 - kLeastProbability);
      r[j * classes + i] = 1.0 - r[i * classes + j];
    }
  pairwise_probabilities(classes, r, r + classes * classes, result);
}

// The index of the label of a row; `columns` gets its scores.
template <typename T>
int64_t classify(const Classifier& made, const T* x, double* columns, double* scratch) {
  const int64_t classes = made.classes();
  const auto top = [&](const double* of) { return std::max_element(of, of + classes) - of; };
  if (made.is_linear()) {
    const int64_t features = static_cast<int64_t>(made.coefficients.size()) / classes;
    for (int64_t c = 0; c < classes; ++c)
      columns[c] = dot(x, made.coefficients.data() + c * features, features) +
                   static_cast<double>(made.rho[0]);
    const int64_t label = top(columns);
    transform_targets(made.transform, columns, classes);
    return label;
  }
  double* const scores = scratch + made.support.count;
  double* const votes = scores + made.pairs();
  score_pairs(made, x, scratch, scores, votes);
  const int64_t label = top(votes);
  if (!made.a.empty()) {
    probabilities_of(made, scores, votes + classes, columns);
    transform_scores(made.transform, columns, classes);
  } else if (classes == 2) {
    // As ONNX Runtime has it: what is to be transformed is taken for a probability.
    two_scores(made.transform, scores[0], made.transform != PostTransform::kNone, columns);
  } else {
    std::copy_n(scores, made.pairs(), columns);
    transform_scores(made.transform, columns, made.pairs());
  }
  return label;
}

// labels and scores may be nullptr; `scratch` has room for made.scratch() values.
template <typename T>
void predict(const Classifier& made, const T* x, Rows rows, double* scratch, int64_t* labels,
             float* scores) {
  const int64_t width = made.columns();
  for (int64_t row = 0; row < rows.count; ++row, x += rows.features) {
    const int64_t label = classify(made, x, scratch, scratch + width);
    if (labels) labels[row] = made.labels[static_cast<size_t>(label)];
    for (int64_t c = 0; scores && c < width; ++c)
      scores[row * width + c] = static_cast<float>(scratch[c]);
  }
}

void reference(const ReferenceContext& context) {
  const Classifier made = classifier(context);
  std::vector<double> scratch(static_cast<size_t>(made.scratch()));
  visit_features(context.input(0).dtype, [&](auto zero) {
    predict(made, context.in<decltype(zero)>(0), rows_of(context), scratch.data(),
            context.has_output(0) ? context.out<int64_t>(0) : nullptr,
            context.has_output(1) ? context.out<float>(1) : nullptr);
  });
}

struct Step {
  std::shared_ptr<const Classifier> classifier;
  Rows rows;
  int64_t grain;
  ClassifierOutputs outputs;
};

template <typename T>
void run(const Step& step, const StepArgs& args) {
  const Classifier& made = *step.classifier;
  int64_t* const labels = step.outputs.labels(args);
  float* const scores = step.outputs.scores(args);
  const int64_t tasks = (step.rows.count + step.grain - 1) / step.grain;
  args.workers->for_each(tasks, [&](int64_t task, int thread) {
    const int64_t begin = task * step.grain;
    predict(
        made, static_cast<const T*>(args.inputs[0]) + begin * step.rows.features,
        {std::min(step.grain, step.rows.count - begin), step.rows.features},
        reinterpret_cast<double*>(args.scratch + static_cast<size_t>(thread) * args.scratch_stride),
        labels ? labels + begin : nullptr, scores ? scores + begin * made.columns() : nullptr);
  });
}

void plan(PlanContext& context) {
  const auto made = context.shared<Classifier>("model", [&] { return classifier(context); });
  context.scratch(static_cast<size_t>(made->scratch()) * sizeof(double));
  const Rows rows = rows_of(context);
  const Step step{made, rows, svm_grain(made->support.count, rows.features),
                  ClassifierOutputs(context)};
  visit_features(context.input(0).dtype,
                 [&](auto zero) { context.emit(run<decltype(zero)>, step); });
}

int64_t macs(const InferContext& context, const TensorType& /*output*/) {
  const auto values = context.attributes().numbers("support_vectors", {}).size() +
                      context.attributes().numbers("coefficients", {}).size();
  return rows_of(context).count * static_cast<int64_t>(values);
}

SANDERLING_OPERATOR(svm_classifier)({.name = "ai.onnx.ml.SVMClassifier",
                                     .since_opset = 1,
                                     .max_outputs = 2,
                                     .infer = infer,
                                     .reference = reference,
                                     .plan = plan,
                                     .macs = macs});

}  // namespace
}  // namespace sanderling
