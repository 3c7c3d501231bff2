#include <functional>

#include "ops/logical.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(xor_)({.name = "Xor",
                           .since_opset = 7,
                           .min_inputs = 2,
                           .max_inputs = 2,
                           .infer = infer_logical,
                           .reference = reference_logical<std::bit_xor<>>,
                           .plan = plan_logical<std::bit_xor<>>,
                           .elementwise = true});

}  // namespace
}  // namespace sanderling
