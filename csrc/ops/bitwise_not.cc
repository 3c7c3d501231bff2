#include "ops/bitwise.h"
#include "ops/map_elements.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_integer(context, 0);
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  visit_integer(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
      context.out<T>(0)[i] = static_cast<T>(~context.in<T>(0)[i]);
  });
}

SANDERLING_OPERATOR(bitwise_not)({.name = "BitwiseNot",
                                  .since_opset = 18,
                                  .infer = infer,
                                  .reference = reference,
                                  .elementwise = true});

}  // namespace
}  // namespace sanderling
