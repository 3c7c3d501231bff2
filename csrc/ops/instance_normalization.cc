#include "ops/channel_groups.h"
#include "ops/spatial_attributes.h"
#include "ops/window.h"

namespace sanderling {
namespace {

ChannelGroups groups_of(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  const bool last = is_channels_last(context);
  return {.images = x[0],
          .groups = channels_of(context),
          .channels = 1,
          .inner = last ? x.elements(1, x.rank() - 1) : x.elements(2, x.rank()),
          .scale_per_group = false,
          .epsilon = finite_number(context, "epsilon", 1e-5f),
          .channels_last = last};
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  const Shape& x = context.input(0).shape;
  if (x.rank() < 2)
    context.error("x has shape ", x.to_string(), ", expected a batch and channels first");
  finite_number(context, "epsilon", 1e-5f);
  for (size_t i = 1; i < 3; ++i) {
    require_same_dtype(context, 0, i);
    if (context.input(i).shape != Shape{channels_of(context)})
      context.error(i == 1 ? "scale" : "bias", " has shape ", context.input(i).shape.to_string(),
                    ", expected [", channels_of(context), "] for x ", given_shape(context));
  }
  context.set_output(0, context.input(0).dtype, x);
}

void reference(const ReferenceContext& context) {
  reference_channel_groups(context, groups_of(context));
}

void plan(PlanContext& context) { plan_channel_groups(context, groups_of(context)); }

SANDERLING_OPERATOR(instance_normalization)({.name = "InstanceNormalization",
                                             .since_opset = 6,
                                             .min_inputs = 3,
                                             .max_inputs = 3,
                                             .infer = infer,
                                             .reference = reference,
                                             .plan = plan});

}  // namespace
}  // namespace sanderling
