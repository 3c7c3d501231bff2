#include <functional>

#include "ops/bitwise.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(bitwise_or)({.name = "BitwiseOr",
                                 .since_opset = 18,
                                 .min_inputs = 2,
                                 .max_inputs = 2,
                                 .infer = infer_bitwise,
                                 .reference = reference_bitwise<std::bit_or<>>,
                                 .plan = plan_bitwise<std::bit_or<>>,
                                 .elementwise = true});

}  // namespace
}  // namespace sanderling
