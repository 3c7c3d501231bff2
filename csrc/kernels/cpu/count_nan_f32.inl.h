static int64_t count_nan_f32(const float* x, int64_t count) {
  int64_t total = 0;
  for_each_vector(count, [&](int64_t i, auto lanes) { total += count_nan(lanes.load(x + i)); });
  return total;
}
