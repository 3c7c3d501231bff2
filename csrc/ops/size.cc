#include "graph/operator.h"

namespace sanderling {
namespace {

void infer(InferContext& context) { context.set_output(0, DType::kInt64, Shape{}); }

void reference(const ReferenceContext& context) {
  context.out<int64_t>(0)[0] = context.input(0).shape.elements();
}

SANDERLING_OPERATOR(size)(
    {.name = "Size", .since_opset = 1, .infer = infer, .reference = reference, .from_types = true});

}  // namespace
}  // namespace sanderling
