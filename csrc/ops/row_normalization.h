// What LayerNormalization, RMSNormalization and their relatives in ONNX Runtime share: each row
// brought to a mean of 0 (unless it is only scaled) and a mean square of 1, then scaled and
// shifted.
#pragma once

#include "ops/node_checks.h"

namespace sanderling {

constexpr size_t kNone = static_cast<size_t>(-1);  // an input or output that an operator has not

// The normalization of input 0, or of the sum of input 0, `skip` and `addend`; which input and
// output is what.
struct RowNormalization {
  int64_t rows, length;
  bool centred;  // subtracts the mean
  float epsilon;
  size_t scale, shift = kNone;                        // broadcast to input 0
  size_t skip = kNone, addend = kNone;                // repeated along input 0
  size_t mean = kNone, inverse = kNone, sum = kNone;  // outputs
};

// For those with an attribute "axis": the rows are what the axes from it on span. The scale's dtype
// is that of the output.
RowNormalization normalization_from_axis(const InferContext& context, bool centred);
void infer_normalization_from_axis(InferContext& context, const RowNormalization& normalization);
// For ONNX Runtime's SkipLayerNormalization and SkipSimplifiedLayerNormalization.
RowNormalization skip_normalization(const InferContext& context, bool centred);
void infer_skip_normalization(InferContext& context, const RowNormalization& normalization);

void reference_normalization(const ReferenceContext& context,
                             const RowNormalization& normalization);
// float32 with a scale and shift that repeat with the rows.
void plan_normalization(PlanContext& context, const RowNormalization& normalization);

}  // namespace sanderling
