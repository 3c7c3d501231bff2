#include "ops/scattered_elements.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(scatter)({.name = "Scatter",
                              .since_opset = 9,
                              .min_inputs = 3,
                              .max_inputs = 3,
                              .infer = infer_scattered_elements,
                              .reference = scatter_elements,
                              .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
