#include "ops/convert.h"

namespace sanderling {
namespace {

// How many indices there will be is known only with the elements.
void infer(InferContext& context) { context.needs_values(); }

void compute(ComputeContext& context) {
  const TensorType& x = context.input(0);
  std::vector<int64_t> found;
  visit_element(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::span<const T> elements = context.constant(0).data<T>();
    for (size_t i = 0; i < elements.size(); ++i)
      if (widen_element(elements[i]) != 0) found.push_back(static_cast<int64_t>(i));
  });
  const auto count = static_cast<int64_t>(found.size());
  auto* const y = context.make_output<int64_t>(0, Shape{x.shape.rank(), count});
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = found[static_cast<size_t>(i)];
    for (int64_t axis = x.shape.rank() - 1; axis >= 0; --axis) {
      y[axis * count + i] = rest % x.shape[axis];
      rest /= x.shape[axis];
    }
  }
}

SANDERLING_OPERATOR(non_zero)(
    {.name = "NonZero", .since_opset = 9, .infer = infer, .compute = compute});

}  // namespace
}  // namespace sanderling
