#include "ops/cosine_window.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_cosine_window(context, {.a = 0.5, .b = 0.5, .c = 0.0});
}

SANDERLING_OPERATOR(hann_window)({.name = "HannWindow",
                                  .since_opset = 17,
                                  .infer = infer_cosine_window,
                                  .reference = reference});

}  // namespace
}  // namespace sanderling
