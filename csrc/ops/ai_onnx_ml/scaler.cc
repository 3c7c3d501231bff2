#include "ops/ai_onnx_ml/rows.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

// (x - offset) * scale, with one pair for all features or one per feature of the last axis.
struct Scaling {
  std::vector<float> offset, scale;  // one per feature

  template <typename Real, typename T>
  void apply(const T* x, float* y, int64_t rows) const {
    const size_t features = scale.size();
    for (int64_t row = 0; row < rows; ++row, x += features, y += features)
      for (size_t f = 0; f < features; ++f)
        y[f] = static_cast<float>((static_cast<Real>(x[f]) - static_cast<Real>(offset[f])) *
                                  static_cast<Real>(scale[f]));
  }
};

std::vector<float> per_feature(const InferContext& context, const char* name, float otherwise) {
  const auto features = last_axis_rows(context).features;
  std::vector<float> values = context.attributes().numbers(name, {otherwise});
  if (values.size() == 1) values.assign(static_cast<size_t>(features), float{values[0]});
  if (static_cast<int64_t>(values.size()) != features)
    context.error(name, " has ", values.size(), " values, the input ", features,
                  " features; it must be one for all or one for each");
  return values;
}

Scaling scaling(const InferContext& context) {
  return {per_feature(context, "offset", 0.0f), per_feature(context, "scale", 1.0f)};
}

void infer(InferContext& context) {
  require_features_dtype(context, 0);
  scaling(context);
  context.set_output(0, DType::kFloat32, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  visit_features(context.input(0).dtype, [&](auto zero) {
    scaling(context).apply<double>(context.in<decltype(zero)>(0), context.out<float>(0),
                                   last_axis_rows(context).count);
  });
}

struct Step {
  std::shared_ptr<const Scaling> scaling;
  int64_t rows, grain;
};

// Real is the type that it is computed in: float32 stays so, all else is wider.
template <typename T, typename Real>
void run(const Step& step, const StepArgs& args) {
  const auto features = static_cast<int64_t>(step.scaling->scale.size());
  for_each_range(*args.workers, step.rows, step.grain, [&](int64_t begin, int64_t end) {
    step.scaling->apply<Real>(static_cast<const T*>(args.inputs[0]) + begin * features,
                              static_cast<float*>(args.outputs[0]) + begin * features, end - begin);
  });
}

void plan(PlanContext& context) {
  const int64_t features = last_axis_rows(context).features;
  const Step step{std::make_shared<const Scaling>(scaling(context)), last_axis_rows(context).count,
                  std::max<int64_t>(1, kStreamGrain / features)};
  visit_features(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = std::conditional_t<std::is_same_v<T, float>, float, double>;
    context.emit(run<T, Real>, step);
  });
}

SANDERLING_OPERATOR(scaler)({.name = "ai.onnx.ml.Scaler",
                             .since_opset = 1,
                             .infer = infer,
                             .reference = reference,
                             .plan = plan});

}  // namespace
}  // namespace sanderling
