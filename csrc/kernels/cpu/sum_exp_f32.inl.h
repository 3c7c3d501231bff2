static double sum_exp_f32(const float* x, int64_t count, float largest) {
  return sum_powers<false>(x, nullptr, count, largest);
}
