#include "ops/rotary.h"

namespace sanderling {
namespace {

constexpr size_t kCosines = 1, kSines = 2, kPositions = 3;

Rotary rotary(const InferContext& context) {
  Rotary r = rotary_of(context, context.attributes().integer("num_heads", 0));
  set_rotated(context, r);
  r.cosines = kCosines;
  r.sines = kSines;
  return r;
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, kCosines);
  require_same_dtype(context, 0, kSines);
  const Rotary r = rotary(context);
  const Shape& cosines = context.input(kCosines).shape;
  const bool by_position = context.has_input(kPositions);
  const int64_t half = r.rotated / 2;
  const bool fits = by_position ? cosines.rank() == 2 && cosines[1] == half
                                : cosines == Shape{r.batch, r.rows, half};
  if (!fits || context.input(kSines).shape != cosines)
    context.error("cos_cache has shape ", cosines.to_string(), " and sin_cache ",
                  context.input(kSines).shape.to_string(), ", expected of both [",
                  by_position ? "positions" : cat(r.batch, ", ", r.rows), ", ", half, "]");
  if (by_position) {
    require_dtype(context, kPositions, {DType::kInt64});
    if (context.input(kPositions).shape != Shape{r.batch, r.rows})
      context.error("position_ids has shape ", context.input(kPositions).shape.to_string(),
                    ", expected [", r.batch, ", ", r.rows, "]");
  }
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  const Rotary r = rotary(context);
  const int64_t places = context.input(kCosines).shape[0];
  reference_rotary(context, r, [&](int64_t b, int64_t s) {
    const int64_t row = b * r.rows + s;
    return context.has_input(kPositions)
               ? checked_place(context, context.in<int64_t>(kPositions)[row], places)
               : row;
  });
}

SANDERLING_OPERATOR(rotary_embedding)({.name = "RotaryEmbedding",
                                       .since_opset = 23,
                                       .min_inputs = 3,
                                       .max_inputs = 4,
                                       .infer = infer,
                                       .reference = reference});

}  // namespace
}  // namespace sanderling
