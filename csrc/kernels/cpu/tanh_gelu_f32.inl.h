static void tanh_gelu_f32(const float* x, float* y, int64_t count) {
  map(x, y, count, [](F lanes) { return tanh_gelu(lanes); });
}
