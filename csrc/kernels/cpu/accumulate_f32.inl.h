static void accumulate_f32(const float* x, float* y, int64_t count) {
  for_each_vector(count, [&](int64_t i, auto lanes) {
    lanes.store(y + i, add(lanes.load(y + i), lanes.load(x + i)));
  });
}
