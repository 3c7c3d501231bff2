// References and steps that the three operators of trees share. What they do with a row's votes is
// theirs: a Finish with
//
//     template <typename T> void operator()(int64_t row, const Tally<T>&, const Outputs&) const
//
// where Outputs, a type of its own, holds the pointers to write to. Outputs(const
// ReferenceContext&) and Finish::outputs(const StepArgs&) make them. finish_of(context, ensemble)
// gives a Finish, read(context) an Ensemble.
#pragma once

#include <memory>

#include "ops/ai_onnx_ml/forest.h"

namespace sanderling {

// Votes of the rows that a thread works on at a time: they and the rows stay in its first cache
// while the trees pass by.
constexpr int64_t kMostRows = 64, kMostVotes = 4096;
// Branches that make a task long enough (kStreamGrain), at a few ns each, and how many a tree
// takes a row through: only a guess is needed.
constexpr int64_t kBranchesPerTask = 8192, kDepth = 8;

template <typename T>
size_t tally_bytes(int64_t rows, int64_t targets) {
  return static_cast<size_t>(rows * targets) * (sizeof(T) + sizeof(bool));
}

template <typename T, typename X, typename Finish>
void reference_trees(const ReferenceContext& context, const Ensemble& ensemble,
                     const Finish& finish, const typename Finish::Outputs& outputs) {
  const Rows rows = rows_of(context);
  if (rows.count == 0) return;  // of no row nothing bounds the number of targets
  const auto targets = static_cast<size_t>(ensemble.targets);
  const auto scores = std::make_unique<T[]>(targets);
  const auto voted = std::make_unique<bool[]>(targets);
  const Tally<T> tally{scores.get(), voted.get()};
  for (int64_t row = 0; row < rows.count; ++row) {
    tally.clear(ensemble.targets);
    tally_row(ensemble, context.in<X>(0) + row * rows.features, tally);
    finish(row, tally, outputs);
  }
}

template <typename Finish>
void reference_trees(const ReferenceContext& context, const Ensemble& ensemble,
                     const Finish& finish) {
  check_features(context, ensemble.features);
  const typename Finish::Outputs outputs(context);
  visit_features(context.input(0).dtype, [&](auto zero) {
    using X = decltype(zero);
    if (in_double(context))
      reference_trees<double, X>(context, ensemble, finish, outputs);
    else
      reference_trees<float, X>(context, ensemble, finish, outputs);
  });
}

// What a plan keeps of a node, whatever the number of rows.
template <typename T, typename Finish>
struct TreeModel {
  Forest<T> forest;
  int64_t features;
  Finish finish;
};

template <typename T, typename Finish>
struct TreeStep {
  std::shared_ptr<const TreeModel<T, Finish>> model;
  Rows rows;
  int64_t rows_per_task;
};

template <typename T, typename X, typename Finish>
void run_trees(const TreeStep<T, Finish>& step, const StepArgs& args) {
  const Forest<T>& forest = step.model->forest;
  const auto outputs = step.model->finish.outputs(args);
  const int64_t tasks = (step.rows.count + step.rows_per_task - 1) / step.rows_per_task;
  args.workers->for_each(tasks, [&](int64_t task, int thread) {
    const int64_t first = task * step.rows_per_task;
    const int64_t count = std::min(step.rows_per_task, step.rows.count - first);
    std::byte* const scratch = args.scratch + static_cast<size_t>(thread) * args.scratch_stride;
    const Tally<T> tally{
        reinterpret_cast<T*>(scratch),
        reinterpret_cast<bool*>(scratch + static_cast<size_t>(step.rows_per_task * forest.targets) *
                                              sizeof(T))};
    tally.clear(count * forest.targets);
    const X* const x = static_cast<const X*>(args.inputs[0]) + first * step.rows.features;
    if (forest.plain)
      tally_rows<T, true>(forest, x, step.rows.features, count, tally);
    else
      tally_rows<T, false>(forest, x, step.rows.features, count, tally);
    for (int64_t row = 0; row < count; ++row)
      step.model->finish(
          first + row,
          Tally<T>{tally.scores + row * forest.targets, tally.voted + row * forest.targets},
          outputs);
  });
}

template <typename T, typename Finish>
void plan_trees_in(PlanContext& context, Ensemble (*read)(const InferContext&),
                   Finish (*finish_of)(const InferContext&, const Ensemble&)) {
  const auto model = context.shared<TreeModel<T, Finish>>(
      std::is_same_v<T, double> ? "forest64" : "forest32", [&] {
        const Ensemble ensemble = read(context);
        if (ensemble.features > static_cast<int64_t>(Forest<T>::kFeature))
          context.unsupported("a tree looks at feature ", ensemble.features - 1,
                              "; the native engine counts up to ", Forest<T>::kFeature);
        return TreeModel<T, Finish>{Forest<T>(ensemble), ensemble.features,
                                    finish_of(context, ensemble)};
      });
  const Rows rows = rows_of(context);
  check_features(context, model->features);
  const auto trees = static_cast<int64_t>(model->forest.roots.size());
  // At least a task's worth of branches, then as even a share for the threads as that leaves.
  const int64_t least = std::max<int64_t>(1, kBranchesPerTask / (trees * kDepth));
  const int64_t most = std::clamp<int64_t>(kMostVotes / model->forest.targets, 1, kMostRows);
  const int64_t share = (rows.count + context.threads() - 1) / context.threads();
  const int64_t per_task = std::min(most, std::max(least, share));
  context.scratch(tally_bytes<T>(per_task, model->forest.targets));
  visit_features(context.input(0).dtype, [&](auto zero) {
    context.emit(run_trees<T, decltype(zero), Finish>, TreeStep<T, Finish>{model, rows, per_task});
  });
}

template <typename Finish>
void plan_trees(PlanContext& context, Ensemble (*read)(const InferContext&),
                Finish (*finish_of)(const InferContext&, const Ensemble&)) {
  if (in_double(context))
    plan_trees_in<double>(context, read, finish_of);
  else
    plan_trees_in<float>(context, read, finish_of);
}

}  // namespace sanderling
