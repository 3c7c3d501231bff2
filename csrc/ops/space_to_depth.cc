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
  const ImageAxes a = image_axes(context);
  std::vector<int64_t> dims = x.shape.dims();
  if (dims[a.h] % block != 0 || dims[a.w] % block != 0)
    context.error("input 0 has shape ", x.shape.to_string(),
                  ", expected a height and width that are multiples of the blocksize ", block);
  dims[a.c] *= block * block;
  dims[a.h] /= block;
  dims[a.w] /= block;
  context.set_output(0, x.dtype, checked_shape(context, std::move(dims)));
}

void reference(const ReferenceContext& context) {
  const int64_t block = block_size(context);
  const bool crd = depth_is_outermost(context, kModeSince);
  const ImageAxes a = image_axes(context);
  const int64_t depths = context.input(0).shape.dims()[a.c];
  const std::vector<int64_t> x = context.input(0).shape.strides();
  move_elements(context, 0, [&](const Coordinates& at) {
    const int64_t depth = crd ? at[a.c] / (block * block) : at[a.c] % depths;
    const int64_t place = crd ? at[a.c] % (block * block) : at[a.c] / depths;
    return at[0] * x[0] + depth * x[a.c] + (at[a.h] * block + place / block) * x[a.h] +
           (at[a.w] * block + place % block) * x[a.w];
  });
}

void plan(PlanContext& context) {
  const int64_t block = block_size(context);
  const ImageAxes a = image_axes(context);
  const std::vector<int64_t>& x = context.input(0).shape.dims();
  const std::vector<int64_t>& y = context.output(0).shape.dims();
  const std::vector<int64_t> from = context.input(0).shape.strides();
  const std::vector<int64_t> to = context.output(0).shape.strides();
  const ChannelStrides channel(depth_is_outermost(context, kModeSince), x[a.c], block, to[a.c]);
  const CopyAxis n{x[0], from[0], to[0]}, c{x[a.c], from[a.c], channel.depth};
  const CopyAxis i{block, from[a.h], channel.row}, j{block, from[a.w], channel.column};
  const CopyAxis h{y[a.h], block * from[a.h], to[a.h]}, w{y[a.w], block * from[a.w], to[a.w]};
  const bool last = a.c == 3;
  context.emit(run_copy, last ? StridedCopy(context.input(0).dtype, {n, h, w, i, j, c})
                              : StridedCopy(context.input(0).dtype, {n, c, i, j, h, w}));
}

SANDERLING_OPERATOR(space_to_depth)({.name = "SpaceToDepth",
                                     .since_opset = 1,
                                     .infer = infer,
                                     .reference = reference,
                                     .plan = plan,
                                     .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
