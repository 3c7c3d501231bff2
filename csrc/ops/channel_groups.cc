#include "ops/channel_groups.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "ops/parallel.h"

namespace sanderling {
namespace {

// The sum of term(i) in float64, in lanes that are added in one order, so that compilers may use
// vectors.
template <typename Term>
double lane_sum(int64_t count, const Term& term) {
  constexpr int64_t kLanes = 8;  // hides the latency of two vectors of four adds
  std::array<double, kLanes> lanes{};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane)
      lanes[static_cast<size_t>(lane)] += term(i + lane);
  for (; i < count; ++i) lanes[0] += term(i);
  double sum = 0.0;
  for (double lane : lanes) sum += lane;
  return sum;
}

template <typename T>
void normalise_group(const ChannelGroups& g, int64_t index, const T* x, const T* scale,
                     const T* bias, T* y) {
  const int64_t count = g.channels * g.inner, group = index % g.groups;
  x += index * count;
  y += index * count;
  const auto size = static_cast<double>(count);
  const double mean = lane_sum(count, [&](int64_t i) { return static_cast<double>(x[i]); }) / size;
  const double variance = lane_sum(count,
                                   [&](int64_t i) {
                                     const double centred = static_cast<double>(x[i]) - mean;
                                     return centred * centred;
                                   }) /
                          size;
  const double factor = 1.0 / std::sqrt(variance + g.epsilon);
  for (int64_t c = 0; c < g.channels; ++c) {
    const int64_t part = g.scale_per_group ? group : group * g.channels + c;
    // In T, so that compilers use whole vectors of it; what rounding the mean to T leaves is in the
    // shift.
    const double slope = static_cast<double>(scale[part]) * factor;
    const auto centre = static_cast<T>(mean), steep = static_cast<T>(slope);
    const auto shift = static_cast<T>(static_cast<double>(bias[part]) +
                                      (static_cast<double>(centre) - mean) * slope);
    for (int64_t i = c * g.inner; i < (c + 1) * g.inner; ++i)
      y[i] = (x[i] - centre) * steep + shift;
  }
}

// Channels-last: this many channels side by side, so that a pixel's are whole vectors and their
// sums stay in L1.
constexpr int64_t kLaneChannels = 64;

int64_t lane_blocks(const ChannelGroups& g) {
  return (g.groups + kLaneChannels - 1) / kLaneChannels;
}

// Block `index` of all images' channels; the arithmetic of normalise_group.
template <typename T>
void normalise_lanes(const ChannelGroups& g, int64_t index, const T* x, const T* scale,
                     const T* bias, T* y) {
  const int64_t first = index % lane_blocks(g) * kLaneChannels;
  const int64_t count = std::min(kLaneChannels, g.groups - first), stride = g.groups;
  const int64_t offset = index / lane_blocks(g) * g.inner * stride + first;
  x += offset;
  y += offset;
  std::array<double, kLaneChannels> mean{}, variance{};
  std::array<T, kLaneChannels> centre{}, steep{}, shift{};
  for (int64_t i = 0; i < g.inner; ++i)
    for (int64_t c = 0; c < count; ++c) mean[c] += static_cast<double>(x[i * stride + c]);
  for (int64_t c = 0; c < count; ++c) mean[c] /= static_cast<double>(g.inner);
  for (int64_t i = 0; i < g.inner; ++i)
    for (int64_t c = 0; c < count; ++c) {
      const double centred = static_cast<double>(x[i * stride + c]) - mean[c];
      variance[c] += centred * centred;
    }
  for (int64_t c = 0; c < count; ++c) {
    const double factor = 1.0 / std::sqrt(variance[c] / static_cast<double>(g.inner) + g.epsilon);
    const double slope = static_cast<double>(scale[first + c]) * factor;
    centre[c] = static_cast<T>(mean[c]);
    steep[c] = static_cast<T>(slope);
    shift[c] = static_cast<T>(static_cast<double>(bias[first + c]) +
                              (static_cast<double>(centre[c]) - mean[c]) * slope);
  }
  for (int64_t i = 0; i < g.inner; ++i)
    for (int64_t c = 0; c < count; ++c)
      y[i * stride + c] = (x[i * stride + c] - centre[c]) * steep[c] + shift[c];
}

template <typename T>
void normalise_all(const ReferenceContext& context, const ChannelGroups& g) {
  const auto normalise = g.channels_last ? normalise_lanes<T> : normalise_group<T>;
  const int64_t tasks = g.images * (g.channels_last ? lane_blocks(g) : g.groups);
  for (int64_t i = 0; i < tasks; ++i)
    normalise(g, i, context.in<T>(0), context.in<T>(1), context.in<T>(2), context.out<T>(0));
}

void run(const ChannelGroups& g, const StepArgs& args) {
  const auto part = [&](size_t i) { return static_cast<const float*>(args.inputs[i]); };
  auto* y = static_cast<float*>(args.outputs[0]);
  const auto normalise = g.channels_last ? normalise_lanes<float> : normalise_group<float>;
  const int64_t tasks = g.images * (g.channels_last ? lane_blocks(g) : g.groups);
  const int64_t channels = g.channels_last ? std::min(kLaneChannels, g.groups) : g.channels;
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / (channels * g.inner));
  for_each_range(*args.workers, tasks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) normalise(g, i, part(0), part(1), part(2), y);
  });
}

}  // namespace

void reference_channel_groups(const ReferenceContext& context, const ChannelGroups& groups) {
  if (context.input(0).dtype == DType::kFloat32)
    normalise_all<float>(context, groups);
  else
    normalise_all<double>(context, groups);
}

void plan_channel_groups(PlanContext& context, const ChannelGroups& groups) {
  if (context.input(0).dtype == DType::kFloat32 && context.input(0).shape.elements() > 0)
    context.emit(run, groups);
}

}  // namespace sanderling
