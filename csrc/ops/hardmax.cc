#include "ops/axis_lanes.h"
#include "ops/element_order.h"

namespace sanderling {
namespace {

// 1 for the first of the largest, 0 for the others. NaN is larger than any number.
void reference(const ReferenceContext& context) {
  if (context.input(0).shape.elements() == 0) return;
  const AxisLanes lanes = softmax_lanes(context);
  visit_float(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t lane = 0; lane < lanes.count(); ++lane) {
      const T* x = context.in<T>(0) + lanes.start(lane);
      T* y = context.out<T>(0) + lanes.start(lane);
      int64_t best = 0;
      for (int64_t i = 1; i < lanes.length; ++i)
        if (order_before<true>(x[i * lanes.inner], x[best * lanes.inner])) best = i;
      for (int64_t i = 0; i < lanes.length; ++i) y[i * lanes.inner] = i == best ? T{1} : T{0};
    }
  });
}

SANDERLING_OPERATOR(hardmax)(
    {.name = "Hardmax", .since_opset = 7, .infer = infer_softmax, .reference = reference});

}  // namespace
}  // namespace sanderling
