#include "ops/rotary.h"

namespace sanderling {
namespace {

constexpr size_t kPositions = 1, kCosines = 2, kSines = 3;

// Without num_heads a head is as wide as the caches say.
Rotary rotary(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  const Shape& cosines = context.input(kCosines).shape;
  if (cosines.rank() != 2 || context.input(kSines).shape != cosines)
    context.error("cos_cache has shape ", cosines.to_string(), " and sin_cache ",
                  context.input(kSines).shape.to_string(), ", expected the same of rank 2");
  int64_t heads = context.attributes().integer("num_heads", 0);
  if (heads == 0 && x.rank() == 3 && cosines[1] > 0) heads = x[2] / (2 * cosines[1]);
  Rotary r = rotary_of(context, heads);
  set_rotated(context, r);
  if (2 * cosines[1] != r.rotated)
    context.error("cos_cache has shape ", cosines.to_string(), ", expected [positions, ",
                  r.rotated / 2, "]");
  r.cosines = kCosines;
  r.sines = kSines;
  return r;
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32});
  require_same_dtype(context, 0, kCosines);
  require_same_dtype(context, 0, kSines);
  require_dtype(context, kPositions, {DType::kInt64});
  if (context.attributes().integer("is_packed_batching", 0) != 0)
    context.unsupported("is_packed_batching is not 0, which the native engine lacks");
  if (context.attributes().number("scale", 1.0f) != 1.0f)
    context.unsupported("scale is not 1, which the native engine lacks");
  const Rotary r = rotary(context);
  const Shape& positions = context.input(kPositions).shape;
  if (positions.elements() != 1 && positions != Shape{r.batch, r.rows})
    context.error("position_ids has shape ", positions.to_string(), ", expected [1] or [", r.batch,
                  ", ", r.rows, "]");
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  const Rotary r = rotary(context);
  const int64_t places = context.input(kCosines).shape[0];
  const auto* const positions = context.in<int64_t>(kPositions);
  // One position is that of the first row. An overflow of the sum is out of range before it.
  const bool is_first = context.input(kPositions).shape != Shape{r.batch, r.rows};
  reference_rotary(context, r, [&](int64_t b, int64_t s) {
    if (!is_first) return checked_place(context, positions[b * r.rows + s], places);
    return checked_place(context, checked_place(context, positions[0], places) + s, places);
  });
}

SANDERLING_OPERATOR(rotary_embedding)({.name = "com.microsoft.RotaryEmbedding",
                                       .since_opset = 1,
                                       .min_inputs = 4,
                                       .max_inputs = 4,
                                       .infer = infer,
                                       .reference = reference});

}  // namespace
}  // namespace sanderling
