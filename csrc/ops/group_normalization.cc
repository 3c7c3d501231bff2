#include "ops/channel_groups.h"
#include "ops/spatial_attributes.h"

namespace sanderling {
namespace {

// Before it, scale and bias had one number per group.
constexpr int64_t kScalePerChannelSince = 21;

ChannelGroups groups_of(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  const int64_t groups = context.attributes().integer("num_groups", 0);
  return {.images = x[0],
          .groups = groups,
          .channels = x[1] / groups,
          .inner = x.elements(2, x.rank()),
          .scale_per_group = context.node().opset < kScalePerChannelSince,
          .epsilon = finite_number(context, "epsilon", 1e-5f)};
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  const Shape& x = context.input(0).shape;
  if (x.rank() < 2)
    context.error("x has shape ", x.to_string(), ", expected a batch and channels first");
  finite_number(context, "epsilon", 1e-5f);
  // Which type statistics are computed in: all are computed in float64.
  context.attributes().integer("stash_type", 1);
  const int64_t groups = context.attributes().integer("num_groups", 0);
  if (groups < 1 || x[1] % groups != 0)
    context.error("num_groups is ", groups, ", which does not divide the ", x[1], " channels of x ",
                  x.to_string());
  const int64_t expected = context.node().opset < kScalePerChannelSince ? groups : x[1];
  for (size_t i = 1; i < 3; ++i) {
    require_same_dtype(context, 0, i);
    if (context.input(i).shape != Shape{expected})
      context.error(i == 1 ? "scale" : "bias", " has shape ", context.input(i).shape.to_string(),
                    ", expected [", expected, "] for x ", x.to_string(), " in opset ",
                    context.node().opset);
  }
  context.set_output(0, context.input(0).dtype, x);
}

void reference(const ReferenceContext& context) {
  reference_channel_groups(context, groups_of(context));
}

void plan(PlanContext& context) { plan_channel_groups(context, groups_of(context)); }

SANDERLING_OPERATOR(group_normalization)({.name = "GroupNormalization",
                                          .since_opset = 18,
                                          .min_inputs = 3,
                                          .max_inputs = 3,
                                          .infer = infer,
                                          .reference = reference,
                                          .plan = plan});

}  // namespace
}  // namespace sanderling
