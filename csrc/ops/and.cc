#include <functional>

#include "ops/logical.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(and_)({.name = "And",
                           .since_opset = 7,
                           .min_inputs = 2,
                           .max_inputs = 2,
                           .infer = infer_logical,
                           .reference = reference_logical<std::bit_and<>>,
                           .plan = plan_logical<std::bit_and<>>,
                           .elementwise = true});

}  // namespace
}  // namespace sanderling
