#include "ops/axes.h"
#include "ops/convert.h"
#include "ops/coordinates.h"

namespace sanderling {
namespace {

constexpr int64_t kNegativeIndicesSince = 11;

int64_t depth_of(const InferContext& context) {
  require_one_element(context, 1, "depth");
  require_number(context, 1);
  int64_t depth = 0;
  const KnownTensor given = context.constant(1);
  visit_number(given.dtype(), [&](auto zero) {
    depth = convert_element<int64_t>(given.data<decltype(zero)>()[0], false);
  });
  if (depth < 0 || depth > Shape::kMaxElements)
    context.error("depth is ", depth, ", expected 0 to ", Shape::kMaxElements);
  return depth;
}

int64_t new_axis(const InferContext& context) {
  return checked_axis(context, context.attributes().integer("axis", -1),
                      context.input(0).shape.rank() + 1);
}

void infer(InferContext& context) {
  require_number(context, 0);
  if (!(context.input(2).shape == Shape{2}))
    context.error("values has shape ", context.input(2).shape.to_string(),
                  ", expected [2]: the off value and the on value");
  const int64_t axis = new_axis(context), depth = depth_of(context);
  std::vector<int64_t> dims = context.input(0).shape.dims();
  dims.insert(dims.begin() + axis, depth);
  context.set_output(0, context.input(2).dtype, checked_shape(context, std::move(dims)));
}

// An index outside the depth has no place where it is on.
template <typename T>
std::vector<int64_t> hot_places(const ReferenceContext& context, int64_t depth) {
  const bool negative = context.node().opset >= kNegativeIndicesSince;
  const T* const indices = context.in<T>(0);
  std::vector<int64_t> places(static_cast<size_t>(context.input(0).shape.elements()));
  for (size_t i = 0; i < places.size(); ++i) {
    // An index of uint64 beyond int64 becomes negative, but no longer counts from the end.
    const bool beyond =
        std::is_same_v<T, uint64_t> && indices[i] > static_cast<T>(Shape::kMaxElements);
    const int64_t index = beyond ? depth : convert_element<int64_t>(indices[i], false);
    places[i] = index < 0 && negative && index >= -depth ? index + depth : index;
  }
  return places;
}

void reference(const ReferenceContext& context) {
  const int64_t axis = new_axis(context), depth = depth_of(context);
  const Shape& shape = context.output(0).shape;
  const int64_t inner = shape.elements(axis + 1, shape.rank());
  visit_number(context.input(0).dtype, [&](auto index) {
    const std::vector<int64_t> places = hot_places<decltype(index)>(context, depth);
    visit_width(context.input(2).dtype, [&](auto zero) {
      using T = decltype(zero);
      const auto* const values = static_cast<const T*>(context.raw_input(2));
      auto* y = static_cast<T*>(context.raw_output(0));
      for (int64_t outer = 0; outer < shape.elements(0, axis); ++outer)
        for (int64_t d = 0; d < depth; ++d)
          for (int64_t i = 0; i < inner; ++i)
            *y++ = values[places[static_cast<size_t>(outer * inner + i)] == d];
    });
  });
}

SANDERLING_OPERATOR(one_hot)({.name = "OneHot",
                              .since_opset = 9,
                              .min_inputs = 3,
                              .max_inputs = 3,
                              .infer = infer,
                              .reference = reference});

}  // namespace
}  // namespace sanderling
