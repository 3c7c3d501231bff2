#include <functional>

#include "ops/bitwise.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(bitwise_and)({.name = "BitwiseAnd",
                                  .since_opset = 18,
                                  .min_inputs = 2,
                                  .max_inputs = 2,
                                  .infer = infer_bitwise,
                                  .reference = reference_bitwise<std::bit_and<>>,
                                  .plan = plan_bitwise<std::bit_and<>>,
                                  .elementwise = true});

}  // namespace
}  // namespace sanderling
