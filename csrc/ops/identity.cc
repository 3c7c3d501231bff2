#include "ops/copy.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

SANDERLING_OPERATOR(identity)({.name = "Identity",
                               .since_opset = 7,
                               .infer = infer,
                               .reference = copy_input,
                               .view = true,
                               .elementwise = true});

}  // namespace
}  // namespace sanderling
