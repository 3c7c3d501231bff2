#include "ops/scattered_elements.h"

#include "ops/axes.h"
#include "ops/coordinates.h"
#include "ops/copy.h"
#include "ops/index_data.h"
#include "ops/scatter_reduction.h"

namespace sanderling {
namespace {

int64_t scatter_axis(const InferContext& context) {
  return checked_axis(context, context.attributes().integer("axis", 0),
                      context.input(0).shape.rank());
}

IndexRanges ranges_of(const InferContext& context) {
  return {context, 1, {context.input(0).shape[scatter_axis(context)]}};
}

}  // namespace

void infer_scattered_elements(InferContext& context) {
  const TensorType& data = context.input(0);
  const Shape& indices = context.input(1).shape;
  require_index_dtype(context, 1);
  require_same_dtype(context, 0, 2);
  scatter_reduction_of(context);
  const int64_t axis = scatter_axis(context);
  bool fits = data.shape.rank() == indices.rank();
  for (int64_t i = 0; fits && i < indices.rank(); ++i)
    fits = i == axis || indices[i] <= data.shape[i];
  if (!fits)
    context.error("indices have shape ", indices.to_string(), ", data has shape ",
                  data.shape.to_string(), "; only along axis ", axis, " may there be more of them");
  if (!(context.input(2).shape == indices))
    context.error("updates have shape ", context.input(2).shape.to_string(),
                  ", indices have shape ", indices.to_string(), "; they must be equal");
  ranges_of(context).check_known(context);
  context.set_output(0, data.dtype, data.shape);
}

// In the order of the updates: of several for one element the last counts, or each is added.
void scatter_elements(const ReferenceContext& context) {
  ranges_of(context).check_known(context);
  copy_input(context);
  const ScatterReduction reduction = scatter_reduction_of(context);
  const int64_t axis = scatter_axis(context), extent = context.input(0).shape[axis];
  const Shape& shape = context.input(1).shape;
  const std::vector<int64_t> strides = context.input(0).shape.strides();
  visit_reduced(context.input(0).dtype, reduction, [&](auto zero) {
    using T = decltype(zero);
    visit_indices(context.input(1).dtype, context.raw_input(1), [&](const auto* indices) {
      const auto* const updates = static_cast<const T*>(context.raw_input(2));
      auto* const y = static_cast<T*>(context.raw_output(0));
      Coordinates at(shape);
      for (int64_t i = 0; i < shape.elements(); ++i, at.next()) {
        const int64_t index = from_start(indices[i], extent);
        T& element =
            y[at.offset(strides) + (index - at[axis]) * strides[static_cast<size_t>(axis)]];
        element = reduce(reduction, element, updates[i]);
      }
    });
  });
}

}  // namespace sanderling
