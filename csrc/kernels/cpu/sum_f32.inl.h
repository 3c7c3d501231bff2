// Each lane adds kTerms numbers in float32, the lanes of these join in pairs, and the sum of those
// sums is double.
static double sum_f32(const float* x, int64_t count) {
  constexpr int64_t kTerms = 8;
  double total = 0.0;
  for (int64_t begin = 0; begin < count; begin += kTerms * kLanes) {
    const int64_t left = count - begin;
    F sum = splat(0.0f);
    for_each_vector(left < kTerms * kLanes ? left : kTerms * kLanes,
                    [&](int64_t i, auto lanes) { sum = add(sum, lanes.load(x + begin + i)); });
    total += static_cast<double>(sum_of(sum));
  }
  return total;
}
