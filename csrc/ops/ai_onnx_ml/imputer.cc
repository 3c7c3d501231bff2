#include <cmath>
#include <limits>

#include "ops/ai_onnx_ml/rows.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

// Elements equal to `replaced` (NaN: those that are NaN) become the value of their feature.
template <typename T>
struct Imputation {
  T replaced;
  std::vector<T> values;  // one per feature of the last axis

  void apply(const T* x, T* y, int64_t rows) const {
    const bool nan = replaced != replaced;
    const size_t features = values.size();
    for (int64_t row = 0; row < rows; ++row, x += features, y += features)
      for (size_t f = 0; f < features; ++f) {
        const bool hit = nan ? x[f] != x[f] : x[f] == replaced;
        y[f] = hit ? values[f] : x[f];
      }
  }
};

template <typename T>
T in_range(const InferContext& context, int64_t value) {
  if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max())
    context.error("the value ", value, " is none of ", name_of(dtype_of<T>()));
  return static_cast<T>(value);
}

template <typename T>
Imputation<T> imputation(const InferContext& context) {
  const Attributes& attributes = context.attributes();
  Imputation<T> made;
  if constexpr (std::is_integral_v<T>) {
    made.replaced = in_range<T>(context, attributes.integer("replaced_value_int64", 0));
    for (int64_t value : attributes.integers("imputed_value_int64s", {}))
      made.values.push_back(in_range<T>(context, value));
  } else {
    made.replaced = attributes.number("replaced_value_float", 0.0f);
    for (float value : attributes.numbers("imputed_value_floats", {})) made.values.push_back(value);
  }
  const auto features = static_cast<size_t>(last_axis_rows(context).features);
  if (made.values.size() == 1) made.values.assign(features, T{made.values[0]});
  if (made.values.size() != features)
    context.error(std::is_integral_v<T> ? "imputed_value_int64s" : "imputed_value_floats", " has ",
                  made.values.size(), " values, the input ", features,
                  " features; it must be one for all or one for each");
  return made;
}

void infer(InferContext& context) {
  require_features_dtype(context, 0);
  visit_features(context.input(0).dtype, [&](auto zero) { imputation<decltype(zero)>(context); });
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  visit_features(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    imputation<T>(context).apply(context.in<T>(0), context.out<T>(0),
                                 last_axis_rows(context).count);
  });
}

template <typename T>
struct Step {
  std::shared_ptr<const Imputation<T>> imputation;
  int64_t rows, grain;
};

template <typename T>
void run(const Step<T>& step, const StepArgs& args) {
  const auto features = static_cast<int64_t>(step.imputation->values.size());
  for_each_range(*args.workers, step.rows, step.grain, [&](int64_t begin, int64_t end) {
    step.imputation->apply(static_cast<const T*>(args.inputs[0]) + begin * features,
                           static_cast<T*>(args.outputs[0]) + begin * features, end - begin);
  });
}

void plan(PlanContext& context) {
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / last_axis_rows(context).features);
  visit_features(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    context.emit(run<T>, Step<T>{std::make_shared<const Imputation<T>>(imputation<T>(context)),
                                 last_axis_rows(context).count, grain});
  });
}

SANDERLING_OPERATOR(imputer)({.name = "ai.onnx.ml.Imputer",
                              .since_opset = 1,
                              .infer = infer,
                              .reference = reference,
                              .plan = plan,
                              .nan = NanRule::kMeans});

}  // namespace
}  // namespace sanderling
