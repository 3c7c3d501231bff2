#include "ops/cosine_window.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_cosine_window(context, {.a = 0.42, .b = 0.5, .c = 0.08});
}

SANDERLING_OPERATOR(blackman_window)({.name = "BlackmanWindow",
                                      .since_opset = 17,
                                      .infer = infer_cosine_window,
                                      .reference = reference});

}  // namespace
}  // namespace sanderling
