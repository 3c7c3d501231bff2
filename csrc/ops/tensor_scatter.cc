#include <cstring>

#include "ops/axes.h"
#include "ops/copy.h"

namespace sanderling {
namespace {

int64_t sequence_axis(const InferContext& context) {
  const Shape& cache = context.input(0).shape;
  const int64_t axis =
      checked_axis(context, context.attributes().integer("axis", -2), cache.rank());
  if (axis == 0) context.error("axis is 0, which is the batch");
  return axis;
}

bool is_circular(const InferContext& context) {
  const std::string mode = context.attributes().text("mode", "linear");
  if (mode != "linear" && mode != "circular")
    context.error("mode is '", mode, "', ONNX has linear and circular");
  return mode == "circular";
}

void infer(InferContext& context) {
  const TensorType& cache = context.input(0);
  const Shape& update = context.input(1).shape;
  require_same_dtype(context, 0, 1);
  is_circular(context);
  const int64_t axis = sequence_axis(context);
  bool fits = update.rank() == cache.shape.rank();
  for (int64_t i = 0; fits && i < update.rank(); ++i)
    fits = i == axis ? update[i] <= cache.shape[i] : update[i] == cache.shape[i];
  if (!fits)
    context.error("update has shape ", update.to_string(), ", past_cache has shape ",
                  cache.shape.to_string(), "; only along axis ", axis, " may it be shorter");
  if (context.has_input(2)) {
    if (context.input(2).dtype != DType::kInt64)
      context.error("write_indices is ", name_of(context.input(2).dtype), ", expected int64");
    if (!(context.input(2).shape == Shape{cache.shape[0]}))
      context.error("write_indices has shape ", context.input(2).shape.to_string(),
                    ", expected one for each of ", cache.shape[0], " rows of the batch");
  }
  context.set_output(0, cache.dtype, cache.shape);
}

// Where in the cache the update of a row of the batch begins.
int64_t checked_start(const ReferenceContext& context, int64_t row, int64_t extent, int64_t count) {
  if (!context.has_input(2)) return 0;
  const int64_t start = context.in<int64_t>(2)[row];
  if (is_circular(context)) return extent == 0 ? 0 : (start % extent + extent) % extent;
  if (start < 0 || start > extent - count)
    context.error("write_indices has the value ", start, ", expected 0 to ", extent - count,
                  " for an update of ", count, " in a cache of ", extent);
  return start;
}

void reference(const ReferenceContext& context) {
  const TensorType& cache = context.input(0);
  const int64_t axis = sequence_axis(context);
  const int64_t extent = cache.shape[axis], count = context.input(1).shape[axis];
  copy_input(context);
  if (context.input(1).shape.elements() == 0) return;
  const auto* const update = static_cast<const std::byte*>(context.raw_input(1));
  auto* const y = static_cast<std::byte*>(context.raw_output(0));
  const size_t bytes = static_cast<size_t>(cache.shape.elements(axis + 1, cache.shape.rank())) *
                       size_of(cache.dtype);
  const int64_t per_row = cache.shape.elements(1, axis);
  for (int64_t i = 0; i < cache.shape.elements(0, axis); ++i) {
    const int64_t start = checked_start(context, i / per_row, extent, count);
    for (int64_t s = 0; s < count; ++s)
      std::memcpy(y + static_cast<size_t>(i * extent + (start + s) % extent) * bytes,
                  update + static_cast<size_t>(i * count + s) * bytes, bytes);
  }
}

SANDERLING_OPERATOR(tensor_scatter)({.name = "TensorScatter",
                                     .since_opset = 24,
                                     .min_inputs = 2,
                                     .max_inputs = 3,
                                     .infer = infer,
                                     .reference = reference,
                                     .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
