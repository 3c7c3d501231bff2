static void softmax_f32(const float* x, float* y, int64_t count, float largest) {
  const double sum = sum_powers<true>(x, y, count, largest);
  const F factor = splat(static_cast<float>(1.0 / sum));
  map(y, y, count, [&](F powers) { return mul(powers, factor); });
}
