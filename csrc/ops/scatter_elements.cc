#include "ops/scattered_elements.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(scatter_elements)({.name = "ScatterElements",
                                       .since_opset = 11,
                                       .min_inputs = 3,
                                       .max_inputs = 3,
                                       .infer = infer_scattered_elements,
                                       .reference = scatter_elements,
                                       .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
