// What DepthToSpace and SpaceToDepth share: both move between x[n, c, h * b + i, w * b + j] and
// channels that count (i, j, c), or (c, i, j) in mode CRD.
#pragma once

#include "ops/node_checks.h"

namespace sanderling {

inline bool depth_is_outermost(const InferContext& context, int64_t mode_since) {
  const std::string mode = context.attributes().text("mode", "DCR");
  const bool crd = context.node().opset >= mode_since && mode == "CRD";
  if (mode != "DCR" && !crd)
    context.error("mode is '", mode, "', opset ", context.node().opset, " has DCR",
                  context.node().opset >= mode_since ? " and CRD" : "");
  return crd;
}

// Where channels, rows and columns stand in both tensors: the layout pass gives [N, H, W, C].
struct ImageAxes {
  size_t c, h, w;
};
inline ImageAxes image_axes(const InferContext& context) {
  return context.attributes().integer("channels_last", 0) != 0 ? ImageAxes{3, 1, 2}
                                                               : ImageAxes{1, 2, 3};
}

inline int64_t block_size(const InferContext& context) {
  const TensorType& x = context.input(0);
  if (x.shape.rank() != 4)
    context.error("input 0 has shape ", x.shape.to_string(), ", expected [N, C, H, W]");
  if (!context.attributes().has("blocksize")) context.error("has no blocksize");
  const int64_t block = context.attributes().integer("blocksize", 0);
  // Beyond the limit the products of extents might overflow; no image has blocks of a megapixel.
  constexpr int64_t kMostBlock = 1024;
  if (block < 1 || block > kMostBlock)
    context.error("blocksize is ", block, ", expected 1 to ", kMostBlock);
  return block;
}

// Strides, in the tensor whose blocks are channels, of a step in c, i and j.
struct ChannelStrides {
  int64_t depth, row, column;

  // `depths` is how many values c has, `plane` the step from one channel to the next.
  ChannelStrides(bool depth_outermost, int64_t depths, int64_t block, int64_t plane)
      : depth(depth_outermost ? block * block * plane : plane),
        row(block * (depth_outermost ? plane : depths * plane)),
        column(depth_outermost ? plane : depths * plane) {}
};

}  // namespace sanderling
