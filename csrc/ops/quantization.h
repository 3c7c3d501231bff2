// Numbers and codes: what QuantizeLinear, DequantizeLinear and the engine's integer operators agree
// on.
#pragma once

#include <algorithm>
#include <cmath>

#include "ops/activation_range.h"
#include "ops/axes.h"
#include "ops/parallel.h"

namespace sanderling {

// saturate(round_half_even(x / scale) + zero_point) in float32, as the kernels compute it: clamped
// first, NaN gives `lowest`.
inline int32_t quantized(float x, float scale, int32_t zero_point, int32_t lowest,
                         int32_t highest) {
  const auto low = static_cast<float>(lowest - zero_point);
  const auto high = static_cast<float>(highest - zero_point);
  const float steps = x / scale;
  const float clamped = steps > low ? std::min(steps, high) : low;  // NaN is not above low
  return static_cast<int32_t>(std::nearbyint(clamped)) + zero_point;
}

inline uint8_t nearest_code(float x, const Quantization& quantization) {
  return static_cast<uint8_t>(quantized(x, quantization.scale, quantization.zero_point, 0, 255));
}

inline float real_of(uint8_t code, const Quantization& quantization) {
  return static_cast<float>(code - quantization.zero_point) * quantization.scale;
}

// Plans y[i] = kernel(x[i]) over all elements, where both sides have one scale and zero point.
template <typename X, typename Y>
void plan_stream(PlanContext& context, void (*kernel)(const X*, Y*, int64_t, float, int32_t),
                 const Quantization& quantization) {
  struct Step {
    void (*kernel)(const X*, Y*, int64_t, float, int32_t);
    int64_t count;
    Quantization quantization;
  };
  context.emit<Step>(
      [](const Step& step, const StepArgs& args) {
        const auto* x = static_cast<const X*>(args.inputs[0]);
        auto* y = static_cast<Y*>(args.outputs[0]);
        for_each_range(*args.workers, step.count, kStreamGrain, [&](int64_t begin, int64_t end) {
          step.kernel(x + begin, y + begin, end - begin, step.quantization.scale,
                      step.quantization.zero_point);
        });
      },
      Step{kernel, context.input(0).shape.elements(), quantization});
}

// The codes that the attributes `low` and `high` (a fused Relu or Clip) leave. Clamping codes is
// the same as clamping numbers before they are rounded, since rounding keeps order.
struct CodeRange {
  uint8_t low, high;
};
inline CodeRange code_range(const InferContext& context, const Quantization& quantization) {
  const ActivationRange range = activation_range(context);
  return {nearest_code(range.low, quantization), nearest_code(range.high, quantization)};
}

// Which scale (and zero point) of a QuantizeLinear or DequantizeLinear node goes with which element
// of input 0.
class ScaleLayout {
 public:
  // Checks the shapes of inputs 1 and 2.
  explicit ScaleLayout(const InferContext& context) {
    const Shape& shape = context.input(0).shape;
    elements_ = shape.elements();
    const Shape& scale = context.input(1).shape;
    if (context.has_input(2) && context.input(2).shape.elements() != scale.elements())
      context.error("zero point has shape ", context.input(2).shape.to_string(),
                    ", scale has shape ", scale.to_string(), "; they must be the same");
    const int64_t block = context.attributes().integer("block_size", 0);
    if (block < 0) context.error("block_size is ", block, ", expected at least 1, or 0 for none");
    if (block == 0 && scale.rank() <= 1 && scale.elements() == 1) return;
    const int64_t axis =
        checked_axis(context, context.attributes().integer("axis", 1), shape.rank());
    inner_ = shape.elements(axis + 1, shape.rank());
    extent_ = shape[axis];
    block_ = std::max<int64_t>(block, 1);
    scales_ = extent_ == 0 ? 0 : (extent_ - 1) / block_ + 1;
    std::vector<int64_t> expected{scales_};
    if (block > 0) {
      expected = shape.dims();
      expected[static_cast<size_t>(axis)] = scales_;
    }
    if (scale.dims() != expected)
      context.error("scale has shape ", scale.to_string(), ", expected ",
                    Shape(expected).to_string(), " for input ", shape.to_string(), ", axis ", axis,
                    ", block_size ", block);
    blocked_ = block > 0;
  }

  bool one_scale() const { return scales_ == 0; }
  int64_t index(int64_t element) const {
    if (one_scale()) return 0;
    const int64_t along = element / inner_ % extent_ / block_;
    if (!blocked_) return along;
    return (element / inner_ / extent_ * scales_ + along) * inner_ + element % inner_;
  }
  // Whether runs of elements share a scale that are long enough for a kernel call each: two vectors
  // of the widest ISA.
  bool has_runs() const { return one_scale() || (!blocked_ && inner_ >= 32); }
  // Calls body(begin, count, scale index) for runs that cover all elements.
  template <typename Body>
  void for_each_run(Workers& workers, const Body& body) const {
    if (one_scale()) {
      for_each_range(workers, elements_, kStreamGrain,
                     [&](int64_t begin, int64_t end) { body(begin, end - begin, int64_t{0}); });
      return;
    }
    const int64_t runs = elements_ / inner_;
    const int64_t grain = std::max<int64_t>(1, kStreamGrain / inner_);
    for_each_range(workers, runs, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(i * inner_, inner_, i % scales_);
    });
  }

 private:
  int64_t elements_ = 0;
  int64_t inner_ = 1, extent_ = 1, block_ = 1;
  int64_t scales_ = 0;  // along the axis; 0: one for all
  bool blocked_ = false;
};

}  // namespace sanderling
