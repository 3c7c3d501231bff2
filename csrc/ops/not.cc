#include "ops/node_checks.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  if (context.input(0).dtype != DType::kBool)
    context.error("input 0 is ", name_of(context.input(0).dtype),
                  ", expected bool. Cast it in the model");
  context.set_output(0, DType::kBool, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
    context.out<bool>(0)[i] = !context.in<bool>(0)[i];
}

// On bytes, which are 0 or 1: compilers vectorize this, and not the negation of a bool.
void invert(const uint8_t* x, uint8_t* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = x[i] ^ 1;
}

struct Step {
  int64_t count;
};

void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const uint8_t*>(args.inputs[0]);
  auto* y = static_cast<uint8_t*>(args.outputs[0]);
  for_each_range(*args.workers, step.count, kStreamGrain,
                 [&](int64_t begin, int64_t end) { invert(x + begin, y + begin, end - begin); });
}

void plan(PlanContext& context) { context.emit(run, Step{context.input(0).shape.elements()}); }

SANDERLING_OPERATOR(not_)({.name = "Not",
                           .since_opset = 1,
                           .infer = infer,
                           .reference = reference,
                           .plan = plan,
                           .elementwise = true});

}  // namespace
}  // namespace sanderling
