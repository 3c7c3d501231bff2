// What ONNX's LSTM and the one of com.microsoft, whose weights are codes, share.
#pragma once

#include "ops/recurrent.h"

namespace sanderling {

void infer_lstm(InferContext& context);
void reference_lstm(const ReferenceContext& context);

}  // namespace sanderling
