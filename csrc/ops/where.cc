#include "ops/broadcast.h"
#include "ops/element_types.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  if (context.input(0).dtype != DType::kBool)
    context.error("the condition is ", name_of(context.input(0).dtype),
                  ", expected bool. Cast it in the model");
  require_same_dtype(context, 1, 2);
  context.set_output(0, context.input(1).dtype, broadcast_inputs(context, 3));
}

void reference(const ReferenceContext& context) {
  const Shape& shape = context.output(0).shape;
  const auto offset = [&](size_t input, int64_t i) {
    return broadcast_offset(shape, context.input(input).shape, i);
  };
  visit_width(context.output(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto* a = static_cast<const T*>(context.raw_input(1));
    const auto* b = static_cast<const T*>(context.raw_input(2));
    for (int64_t i = 0; i < shape.elements(); ++i)
      static_cast<T*>(context.raw_output(0))[i] =
          context.in<bool>(0)[offset(0, i)] ? a[offset(1, i)] : b[offset(2, i)];
  });
}

// One run in which the condition moves. The steps are known to the compiler, both sides are read
// whatever the condition says, and bits are chosen by a mask, so that the loop has no branch.
template <typename T, int64_t kStepA, int64_t kStepB>
void choose_run(const bool* condition, const T* a, const T* b, T* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const T mask = static_cast<T>(T{0} - static_cast<T>(condition[i]));
    y[i] = static_cast<T>((a[i * kStepA] & mask) | (b[i * kStepB] & ~mask));
  }
}

template <typename T>
void copy_run(const T* x, int64_t step, T* y, int64_t count) {
  if (step != 0)
    std::copy_n(x, count, y);
  else
    std::fill_n(y, count, *x);
}

struct Step {
  BroadcastRuns<3> runs;  // condition, a, b
};

template <typename T>
void run(const Step& step, const StepArgs& args) {
  const auto* const conditions = static_cast<const bool*>(args.inputs[0]);
  const BroadcastRuns<3>& runs = step.runs;
  auto* const choose = runs.step(1) != 0
                           ? (runs.step(2) != 0 ? choose_run<T, 1, 1> : choose_run<T, 1, 0>)
                           : (runs.step(2) != 0 ? choose_run<T, 0, 1> : choose_run<T, 0, 0>);
  for_each_range(*args.workers, runs.elements(), kStreamGrain, [&](int64_t begin, int64_t end) {
    runs(begin, end, [&](int64_t at, const auto& offsets, int64_t count) {
      const bool* condition = conditions + offsets[0];
      const T* a = static_cast<const T*>(args.inputs[1]) + offsets[1];
      const T* b = static_cast<const T*>(args.inputs[2]) + offsets[2];
      T* y = static_cast<T*>(args.outputs[0]) + at;
      if (runs.step(0) != 0)
        choose(condition, a, b, y, count);
      else
        copy_run(*condition ? a : b, runs.step(*condition ? 1 : 2), y, count);
    });
  });
}

void plan(PlanContext& context) {
  const Step step{BroadcastRuns<3>(
      {&context.input(0).shape, &context.input(1).shape, &context.input(2).shape})};
  visit_width(context.output(0).dtype, [&](auto zero) { context.emit(run<decltype(zero)>, step); });
}

SANDERLING_OPERATOR(where)({.name = "Where",
                            .since_opset = 9,
                            .min_inputs = 3,
                            .max_inputs = 3,
                            .infer = infer,
                            .reference = reference,
                            .plan = plan,
                            .elementwise = true,
                            .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
