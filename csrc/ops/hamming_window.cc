#include "ops/cosine_window.h"

namespace sanderling {
namespace {

void reference(const ReferenceContext& context) {
  reference_cosine_window(context, {.a = 25.0 / 46.0, .b = 21.0 / 46.0, .c = 0.0});
}

SANDERLING_OPERATOR(hamming_window)({.name = "HammingWindow",
                                     .since_opset = 17,
                                     .infer = infer_cosine_window,
                                     .reference = reference});

}  // namespace
}  // namespace sanderling
