#include "kernels/table.h"
#include "ops/node_checks.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kUInt8});
  SANDERLING_ASSERT((context.input(1) == TensorType{DType::kUInt8, Shape{256}}), "table is ",
                    context.input(1).to_string());
  context.set_output(0, DType::kUInt8, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
    context.out<uint8_t>(0)[i] = context.in<uint8_t>(1)[context.in<uint8_t>(0)[i]];
}

struct Step {
  const KernelTable* kernels;
  int64_t count;
};

void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const uint8_t*>(args.inputs[0]);
  const auto* table = static_cast<const uint8_t*>(args.inputs[1]);
  auto* y = static_cast<uint8_t*>(args.outputs[0]);
  for_each_range(*args.workers, step.count, kStreamGrain, [&](int64_t begin, int64_t end) {
    step.kernels->lookup_u8(x + begin, y + begin, end - begin, table);
  });
}

void plan(PlanContext& context) {
  context.emit(run, Step{&context.kernels(), context.input(0).shape.elements()});
}

SANDERLING_OPERATOR(qlookup)({.name = "QLookup",
                              .min_inputs = 2,
                              .max_inputs = 2,
                              .infer = infer,
                              .reference = reference,
                              .plan = plan,
                              .elementwise = true});

}  // namespace
}  // namespace sanderling
