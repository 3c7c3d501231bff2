static void exp_f32(const float* x, float* y, int64_t count) {
  map(x, y, count, [](F lanes) { return exp(lanes); });
}
