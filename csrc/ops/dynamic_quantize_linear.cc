#include "kernels/table.h"
#include "ops/dynamic_range.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32});
  context.set_output(0, DType::kUInt8, context.input(0).shape);
  context.set_output(1, DType::kFloat32, Shape{});
  context.set_output(2, DType::kUInt8, Shape{});
}

void reference(const ReferenceContext& context) {
  const int64_t count = context.input(0).shape.elements();
  const Quantization quantization = dynamic_range(context.in<float>(0), count);
  if (context.has_output(0))
    for (int64_t i = 0; i < count; ++i)
      context.out<uint8_t>(0)[i] = nearest_code(context.in<float>(0)[i], quantization);
  if (context.has_output(1)) *context.out<float>(1) = quantization.scale;
  if (context.has_output(2))
    *context.out<uint8_t>(2) = static_cast<uint8_t>(quantization.zero_point);
}

struct Step {
  const KernelTable* kernels;
  int64_t count;
};

void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  const Quantization q = dynamic_range(x, step.count);
  if (args.outputs[1]) *static_cast<float*>(args.outputs[1]) = q.scale;
  if (args.outputs[2]) *static_cast<uint8_t*>(args.outputs[2]) = static_cast<uint8_t>(q.zero_point);
  if (!args.outputs[0]) return;
  auto* y = static_cast<uint8_t*>(args.outputs[0]);
  for_each_range(*args.workers, step.count, kStreamGrain, [&](int64_t begin, int64_t end) {
    step.kernels->quantize_f32u8(x + begin, y + begin, end - begin, q.scale, q.zero_point);
  });
}

void plan(PlanContext& context) {
  // Steps see as many outputs as the node names.
  if (context.outputs() == 3)
    context.emit(run, Step{&context.kernels(), context.input(0).shape.elements()});
}

SANDERLING_OPERATOR(dynamic_quantize_linear)({.name = "DynamicQuantizeLinear",
                                              .since_opset = 11,
                                              .max_outputs = 3,
                                              .infer = infer,
                                              .reference = reference,
                                              .plan = plan});

}  // namespace
}  // namespace sanderling
