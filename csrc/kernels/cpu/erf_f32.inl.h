static void erf_f32(const float* x, float* y, int64_t count) {
  map(x, y, count, [](F lanes) { return erf(lanes); });
}
