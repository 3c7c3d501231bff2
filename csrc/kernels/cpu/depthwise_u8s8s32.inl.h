// Four vectors of channels at a time, so that each tap's pointer is loaded once for all of them.
template <int kVectors, typename Lanes>
static inline void depthwise_u8s8s32_block(const DepthwiseU8S8& p, int64_t channel, Lanes lanes) {
  I sum[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sum[v] = splat(0);
  for (int64_t t = 0; t < p.tap_count; ++t) {
    const uint8_t* const tap = p.taps[t] + channel;
    const int8_t* const weights = p.weights + t * p.channels + channel;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sum[v] = add_product(sum[v], lanes.load(tap + v * kLanes), lanes.load(weights + v * kLanes));
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) lanes.store(p.out + channel + v * kLanes, sum[v]);
}

static void depthwise_u8s8s32(const DepthwiseU8S8& p) {
  int64_t channel = 0;
  for (; channel + 4 * kLanes <= p.channels; channel += 4 * kLanes) {
    depthwise_u8s8s32_block<4>(p, channel, AllLanes{});
  }
  if (channel + 2 * kLanes <= p.channels) {
    depthwise_u8s8s32_block<2>(p, channel, AllLanes{});
    channel += 2 * kLanes;
  }
  for_each_vector(p.channels - channel, [&](int64_t i, auto lanes) {
    depthwise_u8s8s32_block<1>(p, channel + i, lanes);
  });
}
