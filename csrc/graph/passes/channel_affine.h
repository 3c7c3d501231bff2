// x * scale + shift, with one number for all or one per channel: what BatchNormalization, Mul, Div,
// Add and Sub by constants compute.
#pragma once

#include <optional>
#include <vector>

#include "graph/graph.h"

namespace sanderling {

struct ChannelAffine {
  ValueId x;
  // In double until it is merged with something that is rounded once. One number, or one per
  // channel.
  std::vector<double> scale, shift;

  double scale_of(int64_t channel) const {
    return scale[scale.size() == 1 ? 0 : static_cast<size_t>(channel)];
  }
  double shift_of(int64_t channel) const {
    return shift[shift.size() == 1 ? 0 : static_cast<size_t>(channel)];
  }
  bool has_scale() const;
  bool has_shift() const;
};

// What `node` does to tensors of `rank` whose axis `axis` has `channels`; nothing where it is
// something else, or not the same all along a channel.
std::optional<ChannelAffine> channel_affine(const Graph& graph, const Node& node, int64_t rank,
                                            int64_t axis, int64_t channels);

}  // namespace sanderling
