#include <cmath>
#include <limits>

#include "ops/axes.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

// The input as [outer, axis, inner]: each (outer, inner) has a distribution of its own along the
// axis.
struct Extents {
  int64_t outer, axis, inner;
};

// Since opset 13 the axis is one axis, -1 by default; before, it splits the input into a matrix
// whose rows are normalised.
Extents extents_of(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  const bool one_axis = context.node().opset >= 13;
  const int64_t given = context.attributes().integer("axis", one_axis ? -1 : 1);
  if (shape.rank() == 0) {
    if (given != 0 && given != -1) checked_axis(context, given, 0);
    return {1, 1, 1};
  }
  if (!one_axis && given == shape.rank()) return {shape.elements(), 1, 1};
  const int64_t axis = checked_axis(context, given, shape.rank());
  if (!one_axis) return {shape.elements(0, axis), shape.elements(axis, shape.rank()), 1};
  return {shape.elements(0, axis), shape[axis], shape.elements(axis + 1, shape.rank())};
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  extents_of(context);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

// Subtracting the largest keeps exp from overflowing. As in IEEE arithmetic, -inf has probability
// 0, and a NaN, a +inf or nothing but -inf make the whole distribution NaN. The sum is double: a
// float32 sum of n terms would lose log2(n) bits.
template <typename T>
void normalise(const T* x, T* y, int64_t count, int64_t stride) {
  T largest = -std::numeric_limits<T>::infinity();
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, x[i * stride]);
  double sum = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    const T power = std::exp(x[i * stride] - largest);
    y[i * stride] = power;
    sum += static_cast<double>(power);
  }
  // Not times 1 / sum, which would round twice. Largest error for float32: 2 ulp of the result (exp
  // 1, quotient 1/2, and the difference's own half ulp of its size, as any float32 softmax has).
  for (int64_t i = 0; i < count; ++i)
    y[i * stride] = static_cast<T>(static_cast<double>(y[i * stride]) / sum);
}

template <typename T>
void normalise_all(const T* x, T* y, const Extents& extents, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const int64_t at = i / extents.inner * extents.axis * extents.inner + i % extents.inner;
    normalise(x + at, y + at, extents.axis, extents.inner);
  }
}

void reference(const ReferenceContext& context) {
  const Extents extents = extents_of(context);
  const int64_t count = extents.outer * extents.inner;
  if (context.input(0).dtype == DType::kFloat32)
    normalise_all(context.in<float>(0), context.out<float>(0), extents, 0, count);
  else
    normalise_all(context.in<double>(0), context.out<double>(0), extents, 0, count);
}

struct Step {
  Extents extents;
  int64_t grain;
};

void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  const int64_t count = step.extents.outer * step.extents.inner;
  for_each_range(*args.workers, count, step.grain, [&](int64_t begin, int64_t end) {
    normalise_all(x, y, step.extents, begin, end);
  });
}

void plan(PlanContext& context) {
  if (context.input(0).dtype != DType::kFloat32) return;
  const Extents extents = extents_of(context);
  const int64_t length = std::max<int64_t>(1, extents.axis);
  context.emit(run, Step{extents, std::max<int64_t>(1, kFunctionGrain / length)});
}

SANDERLING_OPERATOR(softmax)(
    {.name = "Softmax", .since_opset = 7, .infer = infer, .reference = reference, .plan = plan});

}  // namespace
}  // namespace sanderling
