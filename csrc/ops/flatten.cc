#include "ops/copy.h"
#include "ops/node_checks.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  const int64_t rank = x.shape.rank();
  const int64_t axis = context.attributes().integer("axis", 1);
  // The axis may be the rank itself: everything is then in the first dimension.
  if (axis < -rank || axis > rank)
    context.error("axis ", axis, " is outside [", -rank, ", ", rank, "], the range for shape ",
                  x.shape.to_string());
  const int64_t split = axis < 0 ? axis + rank : axis;
  context.set_output(0, x.dtype, Shape{x.shape.elements(0, split), x.shape.elements(split, rank)});
}

SANDERLING_OPERATOR(flatten)(
    {.name = "Flatten", .since_opset = 7, .infer = infer, .reference = copy_input, .view = true});

}  // namespace
}  // namespace sanderling
