#include "ops/element_types.h"
#include "ops/float_functions.h"
#include "ops/pairs.h"

namespace sanderling {
namespace {

// The slope is broadcast to the input's shape, not the input to the slope's. One value may have any
// rank.
void infer(InferContext& context) {
  require_number(context, 0);
  require_same_dtype(context, 0, 1);
  const Shape& x = context.input(0).shape;
  const Shape& slope = context.input(1).shape;
  if (slope.elements() != 1 && broadcast_inputs(context) != x)
    context.error("the slope has shape ", slope.to_string(), ", which cannot be broadcast to ",
                  x.to_string(), " of the input");
  context.set_output(0, context.input(0).dtype, x);
}

// NaN stays NaN.
struct Leak {
  template <typename T>
  T operator()(T x, T slope) const {
    const T below = wrapping(x, slope, [](auto a, auto b) { return a * b; });
    return x < T{0} ? below : x;
  }
};

// A slope of one value and higher rank than x has no place in the walk of x: it is a scalar.
Shape slope_shape(const InferContext& context) {
  const Shape& slope = context.input(1).shape;
  return slope.elements() == 1 ? Shape{} : slope;
}

void reference(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    const Shape& shape = context.output(0).shape;
    const Shape slope = slope_shape(context);
    for (int64_t i = 0; i < shape.elements(); ++i)
      context.out<T>(0)[i] =
          Leak{}(context.in<T>(0)[i], context.in<T>(1)[broadcast_offset(shape, slope, i)]);
  });
}

void plan(PlanContext& context) {
  if (context.input(0).dtype != DType::kFloat32) return;
  const auto leak = [](float x, float slope) { return choose(x < 0.0f, x * slope, x); };
  context.emit(run_pairs<float, float, float, decltype(leak)>,
               PairsStep<decltype(leak)>{
                   {context.input(0).shape, slope_shape(context)}, kStreamGrain, leak});
}

SANDERLING_OPERATOR(prelu)({.name = "PRelu",
                            .since_opset = 7,
                            .min_inputs = 2,
                            .max_inputs = 2,
                            .infer = infer,
                            .reference = reference,
                            .plan = plan,
                            .elementwise = true,
                            .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
