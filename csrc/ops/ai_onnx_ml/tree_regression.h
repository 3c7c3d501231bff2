// What TreeEnsembleRegressor and TreeEnsemble make of a row's votes.
#pragma once

#include "ops/ai_onnx_ml/post_transform.h"
#include "ops/ai_onnx_ml/tree_steps.h"

namespace sanderling {

struct TreeRegression {
  PostTransform transform;
  std::vector<double> base;
  int64_t targets;
  double divisor;      // 1 unless the votes are averaged
  bool double_output;  // else float32

  struct Outputs {
    void* values;
    explicit Outputs(void* y) : values(y) {}
    explicit Outputs(const ReferenceContext& context) : values(context.raw_output(0)) {}
  };
  static Outputs outputs(const StepArgs& args) { return Outputs(args.outputs[0]); }

  TreeRegression(PostTransform given, const Ensemble& ensemble, bool wide)
      : transform(given),
        base(ensemble.base),
        targets(ensemble.targets),
        divisor(ensemble.aggregate == Aggregate::kAverage
                    ? static_cast<double>(ensemble.roots.size())
                    : 1.0),
        double_output(wide) {}

  // Targets without a vote are 0.
  template <typename T>
  void operator()(int64_t row, const Tally<T>& tally, const Outputs& outputs) const {
    for (int64_t target = 0; target < targets; ++target) {
      T& score = tally.scores[target];
      if (divisor != 1.0) score /= static_cast<T>(divisor);
      if (!base.empty()) score += static_cast<T>(base[static_cast<size_t>(target)]);
    }
    transform_targets(transform, tally.scores, targets);
    for (int64_t target = 0; target < targets; ++target) {
      const int64_t at = row * targets + target;
      if (double_output)
        static_cast<double*>(outputs.values)[at] = static_cast<double>(tally.scores[target]);
      else
        static_cast<float*>(outputs.values)[at] = static_cast<float>(tally.scores[target]);
    }
  }
};

inline int64_t target_count(const InferContext& context) {
  const int64_t targets = context.attributes().integer("n_targets", 1);
  if (targets < 1) context.error("n_targets is ", targets, ", expected at least 1");
  return targets;
}

}  // namespace sanderling
