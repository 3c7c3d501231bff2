#include <functional>

#include "ops/bitwise.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(bitwise_xor)({.name = "BitwiseXor",
                                  .since_opset = 18,
                                  .min_inputs = 2,
                                  .max_inputs = 2,
                                  .infer = infer_bitwise,
                                  .reference = reference_bitwise<std::bit_xor<>>,
                                  .plan = plan_bitwise<std::bit_xor<>>,
                                  .elementwise = true});

}  // namespace
}  // namespace sanderling
