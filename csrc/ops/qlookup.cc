#include "kernels/table.h"
#include "ops/node_checks.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

// Entry i is for the byte i, whatever the types: at the borders of a model codes are int8.
void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kUInt8, DType::kInt8});
  require_dtype(context, 1, {DType::kUInt8, DType::kInt8});
  SANDERLING_ASSERT((context.input(1).shape == Shape{256}), "table is ",
                    context.input(1).to_string());
  context.set_output(0, context.input(1).dtype, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  const auto* x = static_cast<const uint8_t*>(context.raw_input(0));
  const auto* table = static_cast<const uint8_t*>(context.raw_input(1));
  auto* y = static_cast<uint8_t*>(context.raw_output(0));
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i) y[i] = table[x[i]];
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
