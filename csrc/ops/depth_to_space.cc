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
  const ImageAxes a = image_axes(context);
  std::vector<int64_t> dims = x.shape.dims();
  if (dims[a.c] % (block * block) != 0)
    context.error("input 0 has ", dims[a.c], " channels, expected a multiple of ", block * block,
                  ", the square of blocksize");
  dims[a.c] /= block * block;
  dims[a.h] *= block;
  dims[a.w] *= block;
  context.set_output(0, x.dtype, checked_shape(context, std::move(dims)));
}

ChannelStrides channel_strides(const InferContext& context, int64_t block) {
  const Shape& x = context.input(0).shape;
  const size_t c = image_axes(context).c;
  return {depth_is_outermost(context, kModeSince), x.dims()[c] / (block * block), block,
          x.strides()[c]};
}

void reference(const ReferenceContext& context) {
  const int64_t block = block_size(context);
  const ChannelStrides channel = channel_strides(context, block);
  const ImageAxes a = image_axes(context);
  const std::vector<int64_t> x = context.input(0).shape.strides();
  move_elements(context, 0, [&](const Coordinates& at) {
    return at[0] * x[0] + at[a.c] * channel.depth + at[a.h] % block * channel.row +
           at[a.w] % block * channel.column + at[a.h] / block * x[a.h] + at[a.w] / block * x[a.w];
  });
}

void plan(PlanContext& context) {
  const int64_t block = block_size(context);
  const ChannelStrides channel = channel_strides(context, block);
  const ImageAxes a = image_axes(context);
  const std::vector<int64_t>& x = context.input(0).shape.dims();
  const std::vector<int64_t> from = context.input(0).shape.strides();
  const int64_t depths = x[a.c] / (block * block);
  // Image by image, rows and columns of blocks, and channels where they stand in the output.
  std::vector<int64_t> parts{x[0], x[a.h], block, x[a.w], block};
  std::vector<int64_t> strides{from[0], from[a.h], channel.row, from[a.w], channel.column};
  const auto at = a.c == 1 ? 1 : 5;
  parts.insert(parts.begin() + at, depths);
  strides.insert(strides.begin() + at, channel.depth);
  context.emit(run_copy,
               StridedCopy(context.input(0).dtype, axes_to(Shape(std::move(parts)), strides)));
}

SANDERLING_OPERATOR(depth_to_space)({.name = "DepthToSpace",
                                     .since_opset = 1,
                                     .infer = infer,
                                     .reference = reference,
                                     .plan = plan,
                                     .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
