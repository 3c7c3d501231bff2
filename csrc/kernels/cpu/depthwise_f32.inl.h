template <int kVectors, typename Lanes>
static inline void depthwise_f32_block(const DepthwiseF32& p, int64_t channel, Lanes lanes) {
  F sum[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    sum[v] = p.bias == nullptr ? splat(0.0f) : lanes.load(p.bias + channel + v * kLanes);
  }
  for (int64_t t = 0; t < p.tap_count; ++t) {
    const float* const tap = p.taps[t] + channel;
    const float* const weights = p.weights + t * p.channels + channel;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sum[v] = multiply_add(lanes.load(tap + v * kLanes), lanes.load(weights + v * kLanes), sum[v]);
    }
  }
  const F low = splat(p.low);
  const F high = splat(p.high);
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    lanes.store(p.out + channel + v * kLanes, clip(sum[v], low, high));
  }
}

static void depthwise_f32(const DepthwiseF32& p) {
  int64_t channel = 0;
  for (; channel + 4 * kLanes <= p.channels; channel += 4 * kLanes) {
    depthwise_f32_block<4>(p, channel, AllLanes{});
  }
  if (channel + 2 * kLanes <= p.channels) {
    depthwise_f32_block<2>(p, channel, AllLanes{});
    channel += 2 * kLanes;
  }
  for_each_vector(p.channels - channel,
                  [&](int64_t i, auto lanes) { depthwise_f32_block<1>(p, channel + i, lanes); });
}
