// What operators share that make each element of the output of two, after NumPy broadcasting.
#pragma once

#include "ops/broadcast.h"
#include "ops/parallel.h"

namespace sanderling {

// y = function(a, b) for inputs 0 and 1 of types A and B and output 0 of type Y.
template <typename A, typename B, typename Y, typename Function>
void reference_pairs(const ReferenceContext& context, Function function) {
  const Shape& shape = context.output(0).shape;
  const A* a = context.in<A>(0);
  const B* b = context.in<B>(1);
  for (int64_t i = 0; i < shape.elements(); ++i)
    context.out<Y>(0)[i] = function(a[broadcast_offset(shape, context.input(0).shape, i)],
                                    b[broadcast_offset(shape, context.input(1).shape, i)]);
}

// One run of a broadcast. An operand that stands still is read once, so that each loop is one that
// compilers vectorize. y may be a or b.
template <typename A, typename B, typename Y, typename Function>
void apply_to_run(const Function& function, const A* a, int64_t a_step, const B* b, int64_t b_step,
                  Y* y, int64_t count) {
  if (a_step != 0 && b_step != 0) {
    for (int64_t i = 0; i < count; ++i) y[i] = function(a[i], b[i]);
  } else if (a_step != 0) {
    const B fixed = *b;
    for (int64_t i = 0; i < count; ++i) y[i] = function(a[i], fixed);
  } else {
    const A fixed = *a;
    for (int64_t i = 0; i < count; ++i) y[i] = function(fixed, b[i * b_step]);
  }
}

template <typename Function>
struct PairsStep {
  BroadcastWalk walk;
  int64_t grain;
  Function function;
};

template <typename A, typename B, typename Y, typename Function>
void run_pairs(const PairsStep<Function>& step, const StepArgs& args) {
  const auto* a = static_cast<const A*>(args.inputs[0]);
  const auto* b = static_cast<const B*>(args.inputs[1]);
  auto* y = static_cast<Y*>(args.outputs[0]);
  const Function function = step.function;
  for_each_range(*args.workers, step.walk.elements(), step.grain, [&](int64_t begin, int64_t end) {
    step.walk(begin, end, [&](int64_t at_y, int64_t at_a, int64_t at_b, int64_t count) {
      apply_to_run(function, a + at_a, step.walk.a_step(), b + at_b, step.walk.b_step(), y + at_y,
                   count);
    });
  });
}

template <typename A, typename B, typename Y, typename Function>
void emit_pairs(PlanContext& context, Function function, int64_t grain = kStreamGrain) {
  context.emit(
      run_pairs<A, B, Y, Function>,
      PairsStep<Function>{{context.input(0).shape, context.input(1).shape}, grain, function});
}

}  // namespace sanderling
