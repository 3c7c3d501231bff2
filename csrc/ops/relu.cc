#include <limits>

#include "kernels/table.h"
#include "ops/element_types.h"
#include "ops/node_checks.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_number(context, 0);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

// NaN stays NaN.
void reference(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < context.output(0).shape.elements(); ++i) {
      const T x = context.in<T>(0)[i];
      context.out<T>(0)[i] = x < zero ? zero : x;
    }
  });
}

struct Step {
  const KernelTable* kernels;
  int64_t count;
};

void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  for_each_range(*args.workers, step.count, kStreamGrain, [&](int64_t begin, int64_t end) {
    step.kernels->clip_f32(x + begin, y + begin, end - begin, 0.0f,
                           std::numeric_limits<float>::infinity());
  });
}

void plan(PlanContext& context) {
  if (context.input(0).dtype == DType::kFloat32)
    context.emit(run, Step{&context.kernels(), context.input(0).shape.elements()});
}

SANDERLING_OPERATOR(relu)({.name = "Relu",
                           .since_opset = 7,
                           .infer = infer,
                           .reference = reference,
                           .plan = plan,
                           .elementwise = true});

}  // namespace
}  // namespace sanderling
