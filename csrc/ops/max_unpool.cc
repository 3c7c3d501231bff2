#include <cstring>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/spatial_attributes.h"
#include "ops/window.h"

namespace sanderling {
namespace {

// What the pool that is undone had as input, if each of its windows was full: the indices count in
// it.
Shape pooled_shape(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  const std::vector<int64_t> extents = spatial_extents(context);
  const size_t count = extents.size();
  if (!context.attributes().has("kernel_shape"))
    context.error("attribute kernel_shape is required and missing");
  const auto kernel = spatial_integers(context, "kernel_shape", count, 1, 1);
  const auto strides = spatial_integers(context, "strides", count, 1, 1);
  const auto pads = spatial_integers(context, "pads", 2 * count, 0, 0);
  std::vector<int64_t> dims{x[0], x[1]};
  for (size_t a = 0; a < count; ++a) {
    if (extents[a] > kMaxSpatialNumber)
      context.error("input extent ", extents[a], " is above ", kMaxSpatialNumber);
    dims.push_back((extents[a] - 1) * strides[a] - pads[a] - pads[count + a] + kernel[a]);
  }
  return checked_shape(context, std::move(dims));
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_dtype(context, 1, {DType::kInt64});
  const Shape& x = context.input(0).shape;
  if (context.input(1).shape != x)
    context.error("the indices have shape ", context.input(1).shape.to_string(), ", the input ",
                  x.to_string(), "; they must be the same");
  Shape shape = pooled_shape(context);
  if (context.has_input(2)) {
    const std::vector<int64_t> given = constant_integers(context, 2);
    Shape output = checked_shape(context, given);
    bool fits = output.rank() == shape.rank();
    for (int64_t axis = 0; fits && axis < shape.rank(); ++axis) fits = output[axis] >= shape[axis];
    if (!fits)
      context.error("output_shape is ", output.to_string(), ", the unpooled input has ",
                    shape.to_string(), "; no axis may be shorter");
    shape = std::move(output);
  }
  context.set_output(0, context.input(0).dtype, std::move(shape));
}

// Where an element of a tensor of shape `from` stands in one of shape `to`, whose axes are no
// shorter.
int64_t moved(int64_t index, const Shape& from, const Shape& to) {
  int64_t at = 0, stride = 1;
  for (int64_t axis = from.rank() - 1; axis >= 0; --axis) {
    at += index % from[axis] * stride;
    index /= from[axis];
    stride *= to[axis];
  }
  return at;
}

void reference(const ReferenceContext& context) {
  const Shape pooled = pooled_shape(context);
  const Shape& shape = context.output(0).shape;
  const auto* indices = context.in<int64_t>(1);
  if (shape.elements() == 0) return;
  std::memset(context.raw_output(0), 0, context.output(0).bytes());
  visit_width(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto* x = static_cast<const T*>(context.raw_input(0));
    auto* y = static_cast<T*>(context.raw_output(0));
    for (int64_t i = 0; i < context.input(0).shape.elements(); ++i) {
      if (indices[i] < 0 || indices[i] >= pooled.elements())
        context.error("index ", indices[i], " is outside [0, ", pooled.elements(),
                      "), the elements of ", pooled.to_string());
      y[moved(indices[i], pooled, shape)] = x[i];
    }
  });
}

SANDERLING_OPERATOR(max_unpool)({.name = "MaxUnpool",
                                 .since_opset = 9,
                                 .min_inputs = 2,
                                 .max_inputs = 3,
                                 .infer = infer,
                                 .reference = reference});

}  // namespace
}  // namespace sanderling
