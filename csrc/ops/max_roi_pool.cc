#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/spatial_attributes.h"

namespace sanderling {
namespace {

std::vector<int64_t> pooled_shape(const InferContext& context) {
  if (!context.attributes().has("pooled_shape"))
    context.error("attribute pooled_shape is required and missing");
  return spatial_integers(context, "pooled_shape", 2, 1, 1);
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, 1);
  finite_number(context, "spatial_scale", 1.0f);
  const std::vector<int64_t> pooled = pooled_shape(context);
  const Shape& x = context.input(0).shape;
  const Shape& rois = context.input(1).shape;
  if (x.rank() != 4) context.error("x has shape ", x.to_string(), ", expected [N, C, H, W]");
  if (rois.rank() != 2 || rois[1] != 5)
    context.error("rois has shape ", rois.to_string(), ", expected [regions, 5]");
  context.set_output(0, context.input(0).dtype,
                     checked_shape(context, {rois[0], x[1], pooled[0], pooled[1]}));
}

// One axis of a region: `bins` of `bin` pixels each from `start` on, cut off at the image.
struct Side {
  int64_t start;
  float bin;

  struct Range {
    int64_t begin, end;
  };
  Range range(int64_t index, int64_t extent) const {
    const auto begin = static_cast<int64_t>(std::floor(static_cast<float>(index) * bin));
    const auto end = static_cast<int64_t>(std::ceil(static_cast<float>(index + 1) * bin));
    return {std::clamp<int64_t>(begin + start, 0, extent),
            std::clamp<int64_t>(end + start, 0, extent)};
  }
};

// In float, as every implementation computes it: bins begin and end at whole pixels.
Side side_of(const InferContext& context, double begin, double end, int64_t bins) {
  const double scale = finite_number(context, "spatial_scale", 1.0f);
  const double first = std::round(begin * scale), last = std::round(end * scale);
  const auto limit = static_cast<double>(kMaxSpatialNumber);
  if (!(std::abs(first) < limit) || !(std::abs(last) < limit))
    context.error("a region from ", begin, " to ", end, " is outside what an image can have");
  const double length = std::max(last - first + 1.0, 1.0);
  return {static_cast<int64_t>(first), static_cast<float>(length) / static_cast<float>(bins)};
}

template <typename T>
void pool(const ReferenceContext& context) {
  const Shape& x = context.input(0).shape;
  const std::vector<int64_t> pooled = pooled_shape(context);
  T* y = context.out<T>(0);
  for (int64_t region = 0; region < context.input(1).shape[0]; ++region) {
    const T* roi = context.in<T>(1) + region * 5;
    const auto edge = [&](int64_t i) { return static_cast<double>(roi[i]); };
    if (!(edge(0) >= 0.0 && edge(0) < static_cast<double>(x[0])))
      context.error("batch index ", edge(0), " is outside [0, ", x[0], ")");
    const auto image = static_cast<int64_t>(edge(0));
    const Side columns = side_of(context, edge(1), edge(3), pooled[1]);
    const Side rows = side_of(context, edge(2), edge(4), pooled[0]);
    for (int64_t c = 0; c < x[1]; ++c) {
      const T* plane = context.in<T>(0) + (image * x[1] + c) * x[2] * x[3];
      for (int64_t i = 0; i < pooled[0]; ++i) {
        const Side::Range row = rows.range(i, x[2]);
        for (int64_t j = 0; j < pooled[1]; ++j) {
          const Side::Range column = columns.range(j, x[3]);
          const bool empty = row.begin >= row.end || column.begin >= column.end;
          T largest = empty ? T{0} : std::numeric_limits<T>::lowest();
          for (int64_t r = row.begin; r < row.end; ++r)
            for (int64_t k = column.begin; k < column.end; ++k)
              largest = std::max(largest, plane[r * x[3] + k]);
          *y++ = largest;
        }
      }
    }
  }
}

void reference(const ReferenceContext& context) {
  if (context.output(0).shape.elements() == 0) return;
  if (context.input(0).dtype == DType::kFloat32)
    pool<float>(context);
  else
    pool<double>(context);
}

SANDERLING_OPERATOR(max_roi_pool)({.name = "MaxRoiPool",
                                   .since_opset = 1,
                                   .min_inputs = 2,
                                   .max_inputs = 2,
                                   .infer = infer,
                                   .reference = reference});

}  // namespace
}  // namespace sanderling
