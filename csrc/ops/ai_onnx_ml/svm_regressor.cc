#include "ops/ai_onnx_ml/support_vectors.h"

namespace sanderling {
namespace {

struct Regressor {
  SupportVectors support;           // none: a linear model
  std::vector<float> coefficients;  // per support vector, or per feature of a linear model
  double rho;
  bool one_class;

  template <typename T>
  double of(const T* x) const {
    double sum = rho;
    if (support.count == 0)
      sum += dot(x, coefficients.data(), static_cast<int64_t>(coefficients.size()));
    for (int64_t v = 0; v < support.count; ++v)
      sum += static_cast<double>(coefficients[static_cast<size_t>(v)]) * support.similarity(x, v);
    if (one_class) return sum > 0 ? 1.0 : -1.0;
    return sum;
  }
};

Regressor regressor(const InferContext& context) {
  const Attributes& attributes = context.attributes();
  const int64_t supports = attributes.integer("n_supports", 0);
  Regressor made{
      {}, attributes.numbers("coefficients", {}), 0.0, attributes.integer("one_class", 0) != 0};
  if (supports > 0) made.support = support_vectors(context, supports);
  const auto count = static_cast<int64_t>(made.coefficients.size());
  const int64_t expected = supports > 0 ? supports : rows_of(context).features;
  if (count != expected)
    context.error("has ", count, " coefficients, expected ", expected, ", one per ",
                  supports > 0 ? "support vector" : "feature");
  const std::vector<float> rho = attributes.numbers("rho", {});
  if (rho.size() != 1) context.error("rho has ", rho.size(), " values, expected one");
  made.rho = static_cast<double>(rho[0]);
  return made;
}

// post_transform does nothing: there is one score (transform_targets says more), and ONNX Runtime
// does not even read it.
void infer(InferContext& context) {
  regressor(context);
  context.set_output(0, DType::kFloat32, Shape{rows_of(context).count, 1});
}

template <typename T>
void predict(const Regressor& made, const T* x, int64_t features, float* y, int64_t rows) {
  for (int64_t row = 0; row < rows; ++row) y[row] = static_cast<float>(made.of(x + row * features));
}

void reference(const ReferenceContext& context) {
  const Rows rows = rows_of(context);
  visit_features(context.input(0).dtype, [&](auto zero) {
    predict(regressor(context), context.in<decltype(zero)>(0), rows.features, context.out<float>(0),
            rows.count);
  });
}

struct Step {
  std::shared_ptr<const Regressor> regressor;
  Rows rows;
  int64_t grain;
};

template <typename T>
void run(const Step& step, const StepArgs& args) {
  const int64_t features = step.rows.features;
  for_each_range(*args.workers, step.rows.count, step.grain, [&](int64_t begin, int64_t end) {
    predict(*step.regressor, static_cast<const T*>(args.inputs[0]) + begin * features, features,
            static_cast<float*>(args.outputs[0]) + begin, end - begin);
  });
}

void plan(PlanContext& context) {
  const auto made = context.shared<Regressor>("model", [&] { return regressor(context); });
  const Rows rows = rows_of(context);
  const Step step{made, rows, svm_grain(made->support.count, rows.features)};
  visit_features(context.input(0).dtype,
                 [&](auto zero) { context.emit(run<decltype(zero)>, step); });
}

int64_t macs(const InferContext& context, const TensorType& output) {
  const Rows rows = rows_of(context);
  const int64_t supports = context.attributes().integer("n_supports", 0);
  return output.shape.elements() * std::max<int64_t>(1, supports) * rows.features;
}

SANDERLING_OPERATOR(svm_regressor)({.name = "ai.onnx.ml.SVMRegressor",
                                    .since_opset = 1,
                                    .infer = infer,
                                    .reference = reference,
                                    .plan = plan,
                                    .macs = macs});

}  // namespace
}  // namespace sanderling
