static void max_f32(const float* x, float* y, int64_t count) {
  for_each_vector(count, [&](int64_t i, auto lanes) {
    const F new_value = lanes.load(x + i);
    lanes.store(y + i, first_if_nan(new_value, max_or_second(new_value, lanes.load(y + i))));
  });
}
