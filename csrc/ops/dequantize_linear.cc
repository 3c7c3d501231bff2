#include "ops/linear_quantization.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(dequantize_linear)({.name = "DequantizeLinear",
                                        .since_opset = 10,
                                        .min_inputs = 2,
                                        .max_inputs = 3,
                                        .infer = infer_dequantize_linear,
                                        .reference = reference_dequantize_linear,
                                        .plan = plan_dequantize_linear});

}  // namespace
}  // namespace sanderling
