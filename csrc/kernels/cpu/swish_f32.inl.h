static void swish_f32(const float* x, float* y, int64_t count, float factor) {
  const F times = splat(factor);
  map(x, y, count, [&](F lanes) { return swish(lanes, times); });
}
