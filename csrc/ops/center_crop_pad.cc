#include <cstring>
#include <numeric>

#include "ops/axes.h"
#include "ops/strided_copy.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  std::vector<int64_t> axes(static_cast<size_t>(x.shape.rank()));
  std::iota(axes.begin(), axes.end(), int64_t{0});
  axes = context.attributes().integers("axes", axes);
  checked_axes(context, axes, x.shape.rank());
  const std::vector<int64_t> wanted = constant_integers(context, 1);
  if (wanted.size() != axes.size())
    context.error("shape has ", wanted.size(), " values, expected one for each of ", axes.size(),
                  " axes");
  std::vector<int64_t> dims = x.shape.dims();
  for (size_t i = 0; i < axes.size(); ++i)
    dims[static_cast<size_t>(checked_axis(context, axes[i], x.shape.rank()))] = wanted[i];
  context.set_output(0, x.dtype, checked_shape(context, std::move(dims)));
}

// Zeros, then the part that is in both: of the larger extent the middle, rounded to the front.
void reference(const ReferenceContext& context) {
  const Shape& from = context.input(0).shape;
  const Shape& to = context.output(0).shape;
  if (to.elements() == 0) return;
  std::memset(context.raw_output(0), 0, context.output(0).bytes());
  if (from.elements() == 0) return;
  const std::vector<int64_t> from_strides = from.strides(), to_strides = to.strides();
  std::vector<CopyAxis> axes;
  int64_t from_offset = 0, to_offset = 0;
  for (size_t i = 0; i < from_strides.size(); ++i) {
    const int64_t has = from.dims()[i], wants = to.dims()[i];
    from_offset += std::max<int64_t>(0, has - wants) / 2 * from_strides[i];
    to_offset += std::max<int64_t>(0, wants - has) / 2 * to_strides[i];
    axes.push_back({std::min(has, wants), from_strides[i], to_strides[i]});
  }
  InlineWorkers alone;
  StridedCopy(context.input(0).dtype, axes, from_offset, to_offset)(context.raw_input(0),
                                                                    context.raw_output(0), alone);
}

SANDERLING_OPERATOR(center_crop_pad)({.name = "CenterCropPad",
                                      .since_opset = 18,
                                      .min_inputs = 2,
                                      .max_inputs = 2,
                                      .infer = infer,
                                      .reference = reference,
                                      .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
