#include "kernels/table.h"
#include "ops/quantization.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32});
  context.set_output(0, DType::kUInt8, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
    context.out<uint8_t>(0)[i] =
        nearest_code(context.in<float>(0)[i], context.output_quantization(0));
}

struct Step {
  const KernelTable* kernels;
  int64_t count;
  Quantization quantization;
};

void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<uint8_t*>(args.outputs[0]);
  for_each_range(*args.workers, step.count, kStreamGrain, [&](int64_t begin, int64_t end) {
    step.kernels->quantize_f32u8(x + begin, y + begin, end - begin, step.quantization.scale,
                                 step.quantization.zero_point);
  });
}

void plan(PlanContext& context) {
  context.emit(run, Step{&context.kernels(), context.input(0).shape.elements(),
                         context.output_quantization(0)});
}

SANDERLING_OPERATOR(quantize)({.name = "Quantize",
                               .infer = infer,
                               .reference = reference,
                               .plan = plan,
                               .elementwise = true});

}  // namespace
}  // namespace sanderling
