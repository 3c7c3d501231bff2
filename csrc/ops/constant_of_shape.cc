#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

Tensor value_of(const InferContext& context) {
  const Tensor* const value = context.attributes().tensor("value");
  if (!value) return Tensor::scalar(0.0f);
  if (value->shape().elements() != 1)
    context.error("value has shape ", value->shape().to_string(), ", expected a single value");
  return *value;
}

void infer(InferContext& context) {
  const DType dtype = value_of(context).dtype();
  context.set_output(0, dtype, checked_shape(context, constant_integers(context, 0)));
}

void reference(const ReferenceContext& context) {
  const Tensor value = value_of(context);
  visit_width(value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::fill_n(static_cast<T*>(context.raw_output(0)), context.output(0).shape.elements(),
                *static_cast<const T*>(value.raw()));
  });
}

template <typename T>
struct Step {
  T value;
  int64_t count;
};

template <typename T>
void run(const Step<T>& step, const StepArgs& args) {
  for_each_range(*args.workers, step.count, kStreamGrain, [&](int64_t begin, int64_t end) {
    std::fill_n(static_cast<T*>(args.outputs[0]) + begin, end - begin, step.value);
  });
}

void plan(PlanContext& context) {
  const Tensor value = value_of(context);
  visit_width(value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    context.emit(run<T>,
                 Step<T>{*static_cast<const T*>(value.raw()), context.output(0).shape.elements()});
  });
}

SANDERLING_OPERATOR(constant_of_shape)({.name = "ConstantOfShape",
                                        .since_opset = 9,
                                        .infer = infer,
                                        .reference = reference,
                                        .plan = plan});

}  // namespace
}  // namespace sanderling
