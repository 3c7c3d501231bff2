// What ONNX Runtime's Attention and QAttention share: queries, keys and values are one product,
// [batch, rows, columns], whose columns are those of all heads' queries, then keys, then values.
#pragma once

#include <vector>

#include "ops/scaled_dot_product.h"

namespace sanderling {

// Where x and weights are inputs 0 and 1; the indices of the other inputs, of which an operator may
// lack one.
struct ProjectedAttention {
  static constexpr size_t kX = 0, kWeights = 1;
  static constexpr size_t kY = 0, kPresent = 1;
  static constexpr size_t kLacks = static_cast<size_t>(-1);
  size_t bias, mask, past, attention_bias = kLacks;
};

AttentionShape projected_shape(const InferContext& context, const ProjectedAttention& inputs);
// Checks all but the element types of x and weights.
void infer_projected(InferContext& context, const ProjectedAttention& inputs);
// From the product on, whose rows follow each other.
void reference_projected(const ReferenceContext& context, const ProjectedAttention& inputs,
                         const std::vector<double>& product);
int64_t macs_of_projected(const InferContext& context, const ProjectedAttention& inputs);

}  // namespace sanderling
