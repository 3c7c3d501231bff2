#include <string>

#include "ops/node_checks.h"
#include "ops/resampling.h"

namespace sanderling {
namespace {

constexpr int64_t kScalesAreInputSince = 9;

std::vector<float> scales_of(const InferContext& context) {
  if (context.node().opset < kScalesAreInputSince) {
    if (context.has_input(1))
      context.error("opset ", context.node().opset,
                    " takes scales as an attribute, not as an input");
    return context.attributes().numbers("scales", {});
  }
  if (!context.has_input(1))
    context.error("opset ", context.node().opset, " takes scales as input 1, and it is left out");
  require_dtype(context, 1, {DType::kFloat32});
  const auto scales = context.constant(1).data<float>();
  return {scales.begin(), scales.end()};
}

Resampling resampling_of(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  const std::string mode = context.attributes().text("mode", "nearest");
  if (mode != "nearest" && mode != "linear" && mode != "bilinear")
    context.error("mode is '", mode, "', expected nearest or linear");
  Resampling resampling{
      .interpolation = mode == "nearest" ? Interpolation::kNearest : Interpolation::kLinear,
      .coordinates = Coordinates::kAsymmetric,
      .rounding = Rounding::kFloor};
  const std::vector<float> scales = scales_of(context);
  if (static_cast<int64_t>(scales.size()) != x.rank())
    context.error("scales has ", scales.size(), " numbers, expected one per axis of ",
                  x.to_string());
  for (int64_t axis = 0; axis < x.rank(); ++axis) {
    const float scale = scales[static_cast<size_t>(axis)];
    if (!(scale >= 1.0f))
      context.error("a scale is ", scale,
                    ", expected 1 or more. Resize also makes tensors smaller");
    resampling.axes.push_back(scaled_axis(context, x[axis], scale));
  }
  return resampling;
}

void infer(InferContext& context) { infer_resampling(context, resampling_of(context)); }

void reference(const ReferenceContext& context) {
  reference_resampling(context, resampling_of(context));
}

void plan(PlanContext& context) { plan_resampling(context, resampling_of(context)); }

SANDERLING_OPERATOR(upsample)({.name = "Upsample",
                               .since_opset = 7,
                               .min_inputs = 1,
                               .max_inputs = 2,
                               .infer = infer,
                               .reference = reference,
                               .plan = plan});

}  // namespace
}  // namespace sanderling
