#include "ops/coordinates.h"
#include "ops/copy_step.h"
#include "ops/space_blocks.h"

namespace sanderling {
namespace {

constexpr int64_t kModeSince = 11;

void infer(InferContext& context) {
  const int64_t block = block_size(context);
  depth_is_outermost(context, kModeSince);
  const TensorType& x = context.input(0);
  if (x.shape[1] % (block * block) != 0)
    context.error("input 0 has ", x.shape[1], " channels, expected a multiple of ", block * block,
                  ", the square of blocksize");
  context.set_output(0, x.dtype,
                     checked_shape(context, {x.shape[0], x.shape[1] / (block * block),
                                             x.shape[2] * block, x.shape[3] * block}));
}

ChannelStrides channel_strides(const InferContext& context, int64_t block) {
  const Shape& x = context.input(0).shape;
  return {depth_is_outermost(context, kModeSince), x[1] / (block * block), block, x[2] * x[3]};
}

void reference(const ReferenceContext& context) {
  const int64_t block = block_size(context);
  const ChannelStrides channel = channel_strides(context, block);
  const std::vector<int64_t> x = context.input(0).shape.strides();
  move_elements(context, 0, [&](const Coordinates& at) {
    return at[0] * x[0] + at[1] * channel.depth + at[2] % block * channel.row +
           at[3] % block * channel.column + at[2] / block * x[2] + at[3] / block;
  });
}

void plan(PlanContext& context) {
  const int64_t block = block_size(context);
  const ChannelStrides channel = channel_strides(context, block);
  const Shape& x = context.input(0).shape;
  const Shape& y = context.output(0).shape;
  const std::vector<int64_t> from = x.strides();
  const Shape parts{y[0], y[1], x[2], block, x[3], block};
  context.emit(run_copy, StridedCopy(context.input(0).dtype,
                                     axes_to(parts, {from[0], channel.depth, from[2], channel.row,
                                                     from[3], channel.column})));
}

SANDERLING_OPERATOR(depth_to_space)({.name = "DepthToSpace",
                                     .since_opset = 1,
                                     .infer = infer,
                                     .reference = reference,
                                     .plan = plan,
                                     .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
