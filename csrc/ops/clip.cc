#include <limits>

#include "kernels/table.h"
#include "ops/element_types.h"
#include "ops/node_checks.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

// Before opset 11 the bounds are attributes; from then on they are inputs, computed ones too.
bool bounds_are_inputs(const InferContext& context) { return context.node().opset >= 11; }

void infer(InferContext& context) {
  require_number(context, 0);
  if (!bounds_are_inputs(context)) {
    require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
    if (context.has_input(1) || context.has_input(2))
      context.error("opset ", context.node().opset,
                    " takes min and max as attributes, the node has ", context.inputs(), " inputs");
    context.attributes().number("min", 0.0f);  // these two throw if the type is wrong
    context.attributes().number("max", 0.0f);
  } else {
    for (size_t i = 1; i <= 2; ++i) {
      if (!context.has_input(i)) continue;
      require_same_dtype(context, 0, i);
      require_one_element(context, i, i == 1 ? "min" : "max");
    }
  }
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

// A bound, or what ONNX has for an absent one: the ends of the type, which an infinity passes.
template <typename T>
T bound(const ReferenceContext& context, size_t i) {
  using Limits = std::numeric_limits<T>;
  const T none = i == 1 ? Limits::lowest() : Limits::max();
  if (bounds_are_inputs(context)) return context.has_input(i) ? *context.in<T>(i) : none;
  const char* name = i == 1 ? "min" : "max";
  return context.attributes().has(name) ? static_cast<T>(context.attributes().number(name, 0.0f))
                                        : none;
}

// NaN stays NaN; where the bounds cross, all else becomes max, as ONNX says.
void reference(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    const T low = bound<T>(context, 1);
    const T high = bound<T>(context, 2);
    for (int64_t i = 0; i < context.output(0).shape.elements(); ++i) {
      T y = context.in<T>(0)[i];
      if (y < low) y = low;
      if (y > high) y = high;
      context.out<T>(0)[i] = y;
    }
  });
}

struct Step {
  const KernelTable* kernels;
  int64_t count;
  float low, high;
  bool has_low, has_high;  // as inputs, read at each run
};

void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  const float low = step.has_low ? *static_cast<const float*>(args.inputs[1]) : step.low;
  const float high = step.has_high ? *static_cast<const float*>(args.inputs[2]) : step.high;
  for_each_range(*args.workers, step.count, kStreamGrain, [&](int64_t begin, int64_t end) {
    step.kernels->clip_f32(x + begin, y + begin, end - begin, low, high);
  });
}

void plan(PlanContext& context) {
  if (context.input(0).dtype != DType::kFloat32) return;
  const bool inputs = bounds_are_inputs(context);
  const Attributes none;
  const Attributes& attributes = inputs ? none : context.attributes();
  context.emit(run, Step{.kernels = &context.kernels(),
                         .count = context.input(0).shape.elements(),
                         .low = attributes.number("min", std::numeric_limits<float>::lowest()),
                         .high = attributes.number("max", std::numeric_limits<float>::max()),
                         .has_low = inputs && context.has_input(1),
                         .has_high = inputs && context.has_input(2)});
}

SANDERLING_OPERATOR(clip)({.name = "Clip",
                           .since_opset = 7,
                           .max_inputs = 3,
                           .infer = infer,
                           .reference = reference,
                           .plan = plan,
                           .elementwise = true});

}  // namespace
}  // namespace sanderling
