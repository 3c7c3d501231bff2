#include "ops/cast_elements.h"

#include "ops/convert.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

enum class RoundMode { kNearest, kUp, kDown };

// How a float becomes a power of two (float8_e8m0fnu).
RoundMode round_mode(const InferContext& context) {
  const std::string mode = context.attributes().text("round_mode", "up");
  if (mode == "up") return RoundMode::kUp;
  if (mode == "down") return RoundMode::kDown;
  if (mode == "nearest") return RoundMode::kNearest;
  context.error("round_mode is '", mode, "', ONNX has up, down and nearest");
}

Float8E8M0 power_of_two(double x, RoundMode mode, bool saturate) {
  if (mode == RoundMode::kNearest || !(x > 0) || std::isinf(x))
    return Float8E8M0::from(x, saturate);
  int exponent = 0;
  const double fraction = std::frexp(x, &exponent);  // in [0.5, 1)
  const bool exact = fraction == 0.5;
  const int power = mode == RoundMode::kUp && !exact ? exponent : exponent - 1;
  return Float8E8M0::from(std::ldexp(1.0, power), saturate);
}

template <typename From, typename To>
void convert(const From* x, To* y, int64_t begin, int64_t end, bool saturate, RoundMode mode) {
  for (int64_t i = begin; i < end; ++i) {
    if constexpr (std::is_same_v<To, Float8E8M0>)
      y[i] = power_of_two(static_cast<double>(widen_element(x[i])), mode, saturate);
    else
      y[i] = convert_element<To>(x[i], saturate);
  }
}

}  // namespace

void infer_cast(InferContext& context, DType to) {
  round_mode(context);
  context.set_output(0, to, context.input(0).shape);
}

void reference_cast(const ReferenceContext& context) {
  const bool saturate = context.attributes().integer("saturate", 1) != 0;
  const RoundMode mode = round_mode(context);
  visit_element(context.input(0).dtype, [&](auto from) {
    visit_element(context.output(0).dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      convert(context.in<From>(0), context.out<To>(0), 0, context.input(0).shape.elements(),
              saturate && size_of(context.output(0).dtype) == 1, mode);
    });
  });
}

namespace {

struct Step {
  int64_t count;
};

template <typename From, typename To>
void run(const Step& step, const StepArgs& args) {
  for_each_range(*args.workers, step.count, kStreamGrain, [&](int64_t begin, int64_t end) {
    convert(static_cast<const From*>(args.inputs[0]), static_cast<To*>(args.outputs[0]), begin, end,
            false, RoundMode::kUp);
  });
}

template <typename From>
void plan_from(PlanContext& context) {
  const Step step{context.input(0).shape.elements()};
  switch (context.output(0).dtype) {
    case DType::kFloat32:
      return context.emit(run<From, float>, step);
    case DType::kInt64:
      return context.emit(run<From, int64_t>, step);
    case DType::kInt32:
      return context.emit(run<From, int32_t>, step);
    case DType::kUInt8:
      return context.emit(run<From, uint8_t>, step);
    case DType::kBool:
      return context.emit(run<From, bool>, step);
    case DType::kFloat16:
      return context.emit(run<From, Float16>, step);
    default:
      return;
  }
}

}  // namespace

void plan_cast(PlanContext& context) {
  switch (context.input(0).dtype) {
    case DType::kFloat32:
      return plan_from<float>(context);
    case DType::kInt64:
      return plan_from<int64_t>(context);
    case DType::kInt32:
      return plan_from<int32_t>(context);
    case DType::kUInt8:
      return plan_from<uint8_t>(context);
    case DType::kBool:
      return plan_from<bool>(context);
    case DType::kFloat16:
      return plan_from<Float16>(context);
    default:
      return;
  }
}

}  // namespace sanderling
