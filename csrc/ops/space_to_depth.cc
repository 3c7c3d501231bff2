#include "ops/coordinates.h"
#include "ops/copy_step.h"
#include "ops/space_blocks.h"

namespace sanderling {
namespace {

constexpr int64_t kModeSince = 28;

void infer(InferContext& context) {
  const int64_t block = block_size(context);
  depth_is_outermost(context, kModeSince);
  const TensorType& x = context.input(0);
  if (x.shape[2] % block != 0 || x.shape[3] % block != 0)
    context.error("input 0 has shape ", x.shape.to_string(),
                  ", expected a height and width that are multiples of the blocksize ", block);
  context.set_output(0, x.dtype,
                     checked_shape(context, {x.shape[0], x.shape[1] * block * block,
                                             x.shape[2] / block, x.shape[3] / block}));
}

void reference(const ReferenceContext& context) {
  const int64_t block = block_size(context);
  const bool crd = depth_is_outermost(context, kModeSince);
  const int64_t depths = context.input(0).shape[1];
  const std::vector<int64_t> x = context.input(0).shape.strides();
  move_elements(context, 0, [&](const Coordinates& at) {
    const int64_t depth = crd ? at[1] / (block * block) : at[1] % depths;
    const int64_t place = crd ? at[1] % (block * block) : at[1] / depths;
    return at[0] * x[0] + depth * x[1] + (at[2] * block + place / block) * x[2] + at[3] * block +
           place % block;
  });
}

void plan(PlanContext& context) {
  const int64_t block = block_size(context);
  const Shape& x = context.input(0).shape;
  const Shape& y = context.output(0).shape;
  const std::vector<int64_t> from = x.strides();
  const CopyAxis n{x[0], from[0], y[1] * y[2] * y[3]};
  const ChannelStrides channel(depth_is_outermost(context, kModeSince), x[1], block, y[2] * y[3]);
  const CopyAxis c{x[1], from[1], channel.depth};
  const CopyAxis i{block, from[2], channel.row}, j{block, from[3], channel.column};
  const CopyAxis h{y[2], block * from[2], y[3]}, w{y[3], block * from[3], 1};
  context.emit(run_copy, StridedCopy(context.input(0).dtype, {n, c, i, j, h, w}));
}

SANDERLING_OPERATOR(space_to_depth)({.name = "SpaceToDepth",
                                     .since_opset = 1,
                                     .infer = infer,
                                     .reference = reference,
                                     .plan = plan,
                                     .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
