static void clip_f32(const float* x, float* y, int64_t count, float low, float high) {
  const F lowest = splat(low);
  const F highest = splat(high);
  for_each_vector(count, [&](int64_t i, auto lanes) {
    lanes.store(y + i, clip(lanes.load(x + i), lowest, highest));
  });
}
