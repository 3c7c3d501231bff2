#include <cmath>

#include "ops/axis_lanes.h"

namespace sanderling {
namespace {

int64_t power(const InferContext& context) {
  const int64_t p = context.attributes().integer("p", 2);
  if (p != 1 && p != 2) context.error("p is ", p, ", ONNX has 1 and 2");
  return p;
}

AxisLanes lanes_of(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  return lanes_along(shape,
                     checked_axis(context, context.attributes().integer("axis", -1), shape.rank()));
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  power(context);
  lanes_of(context);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

// Lanes of nothing but zeros stay zero.
template <typename T>
void normalise(const T* x, T* y, const AxisLanes& lanes, int64_t p) {
  double sum = 0.0;
  for (int64_t i = 0; i < lanes.length; ++i) {
    const auto value = static_cast<double>(x[i * lanes.inner]);
    sum += p == 1 ? std::abs(value) : value * value;
  }
  const double norm = p == 1 ? sum : std::sqrt(sum);
  for (int64_t i = 0; i < lanes.length; ++i)
    y[i * lanes.inner] =
        norm == 0.0 ? T{0} : static_cast<T>(static_cast<double>(x[i * lanes.inner]) / norm);
}

void reference(const ReferenceContext& context) {
  if (context.input(0).shape.elements() == 0) return;
  const AxisLanes lanes = lanes_of(context);
  const int64_t p = power(context);
  visit_float(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t lane = 0; lane < lanes.count(); ++lane)
      normalise(context.in<T>(0) + lanes.start(lane), context.out<T>(0) + lanes.start(lane), lanes,
                p);
  });
}

struct Step {
  AxisLanes lanes;
  int64_t p;
};

void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  const AxisLanes& lanes = step.lanes;
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / lanes.length);
  for_each_range(*args.workers, lanes.count(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t lane = begin; lane < end; ++lane)
      normalise(x + lanes.start(lane), y + lanes.start(lane), lanes, step.p);
  });
}

void plan(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    context.emit(run, Step{lanes_of(context), power(context)});
}

SANDERLING_OPERATOR(lp_normalization)({.name = "LpNormalization",
                                       .since_opset = 1,
                                       .infer = infer,
                                       .reference = reference,
                                       .plan = plan});

}  // namespace
}  // namespace sanderling
