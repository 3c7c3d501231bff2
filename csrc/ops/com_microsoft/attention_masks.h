// What ONNX Runtime's Attention and MultiHeadAttention share: attributes, and masks of int32 that
// add a finite number.
#pragma once

#include <cmath>

#include "ops/scaled_dot_product.h"

namespace sanderling {

inline int64_t heads_of_microsoft(const InferContext& context) {
  const int64_t heads = context.attributes().integer("num_heads", 0);
  if (heads < 1 || heads > kMostHeads)
    context.error("num_heads is ", heads, ", expected 1 to ", kMostHeads);
  return heads;
}

inline float filter_of_microsoft(const InferContext& context) {
  return context.attributes().number("mask_filter_value", -10000.0f);
}

// A scale of 0 is none.
inline float scale_of_microsoft(const InferContext& context, int64_t size) {
  const float scale = context.attributes().number("scale", 0.0f);
  if (scale != 0.0f) return scale;
  return 1.0f / std::sqrt(static_cast<float>(std::max<int64_t>(1, size)));
}

// The mask of input `mask`, by its shape, and the numbers of input `bias`; either may be left out.
inline void add_microsoft_masks(const InferContext& context, AttentionShape& s, size_t mask,
                                size_t bias) {
  if (context.has_input(mask)) {
    require_dtype(context, mask, {DType::kInt32});
    const Shape& shape = context.input(mask).shape;
    const int64_t total = s.total();
    AttentionMask made{.kind = AttentionMask::Kind::kKeep,
                       .input = mask,
                       .dtype = DType::kInt32,
                       .batch = 0,
                       .head = 0,
                       .row = 0,
                       .column = 1,
                       .columns = total};
    if (shape == Shape{s.batch}) {
      made.kind = AttentionMask::Kind::kEnds;
    } else if (shape == Shape{2 * s.batch}) {
      made.kind = AttentionMask::Kind::kEndsAndStarts;
    } else if (shape == Shape{s.batch, total}) {
      made.batch = total;
    } else if (shape == Shape{s.batch, s.queries, total}) {
      made.batch = s.queries * total;
      made.row = total;
    } else if (shape.rank() != 2 || shape[1] != 1 || (shape[0] != 1 && shape[0] != s.batch)) {
      context.error("the mask has shape ", shape.to_string(), ", expected [", s.batch, "], [",
                    2 * s.batch, "], [", s.batch, ", ", total, "] or [", s.batch, ", ", s.queries,
                    ", ", total, "]: ends, ends and starts, or what to keep");
    } else {
      return;  // one number for all keys changes nothing
    }
    s.masks.push_back(made);
  }
  if (context.has_input(bias)) {
    if (context.input(bias).shape.rank() != 4)
      context.error("attention_bias has shape ", context.input(bias).shape.to_string(),
                    ", expected rank 4");
    s.masks.push_back(mask_of(context, bias, s, /*may_pad=*/false));
  }
}

}  // namespace sanderling
