// QuantizeLinear and DequantizeLinear, of ONNX and of com.microsoft.
#pragma once

#include "graph/operator.h"

namespace sanderling {

void infer_quantize_linear(InferContext& context);
void reference_quantize_linear(const ReferenceContext& context);
void plan_quantize_linear(PlanContext& context);

void infer_dequantize_linear(InferContext& context);
void reference_dequantize_linear(const ReferenceContext& context);
void plan_dequantize_linear(PlanContext& context);

}  // namespace sanderling
