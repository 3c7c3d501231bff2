// Normalisation of groups of channels by their own mean and variance: what InstanceNormalization
// (groups of one channel) and GroupNormalization share.
#pragma once

#include "graph/operator.h"

namespace sanderling {

struct ChannelGroups {
  int64_t images, groups, channels, inner;  // channels of a group, elements of a channel
  bool scale_per_group;                     // else one scale and bias per channel
  double epsilon;
  bool channels_last = false;  // x is [N, ..., C], and each channel a group
};

// Inputs: x [N, C, ...], scale and bias.
void reference_channel_groups(const ReferenceContext& context, const ChannelGroups& groups);
// float32 only; otherwise the reference runs.
void plan_channel_groups(PlanContext& context, const ChannelGroups& groups);

}  // namespace sanderling
