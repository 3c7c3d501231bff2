#include "ops/linear_quantization.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(quantize_linear)({.name = "QuantizeLinear",
                                      .since_opset = 10,
                                      .min_inputs = 2,
                                      .max_inputs = 3,
                                      .infer = infer_quantize_linear,
                                      .reference = reference_quantize_linear,
                                      .plan = plan_quantize_linear});

}  // namespace
}  // namespace sanderling
