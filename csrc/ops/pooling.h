// What all pools share: windows over each channel by itself. Global ones have one window over the
// whole image.
#pragma once

#include "ops/parallel.h"
#include "ops/window.h"

namespace sanderling {

// Throws kModel where the attributes contradict each other or the input, or where a window could
// lie in padding alone.
Window pool_window(const InferContext& context);
// Sets output 0.
void infer_pool(InferContext& context, DType dtype);
// Output pixels that a task takes, so that it reads about kStreamGrain elements.
int64_t pool_grain(const PixelGrid& grid);

// The numbers that an average divides by: taps on the input, or with count_include_pad also those
// on padding.
class AverageDivisor {
 public:
  explicit AverageDivisor(const InferContext& context)
      : with_padding_(context.attributes().integer("count_include_pad", 0) != 0) {}
  int64_t operator()(std::span<const WindowAxis> axes, const int64_t* at) const;

 private:
  bool with_padding_;
};
// Taps on the input.
int64_t taps_on_input(std::span<const WindowAxis> axes, const int64_t* at);

// The float averages: AveragePool and GlobalAveragePool.
void infer_average(InferContext& context);
void reference_average(const ReferenceContext& context);
void plan_average(PlanContext& context);

// The maxima: MaxPool, with indices where they are wanted, and GlobalMaxPool.
void infer_maximum(InferContext& context);
void reference_maximum(const ReferenceContext& context);
void plan_maximum(PlanContext& context);

}  // namespace sanderling
