static void dequantize_u8f32(const uint8_t* x, float* y, int64_t count, float scale,
                             int32_t zero_point) {
  const F factor = splat(scale);
  const I zero = splat(zero_point);
  for_each_vector(count, [&](int64_t i, auto lanes) {
    lanes.store(y + i, mul(to_float(sub(lanes.load(x + i), zero)), factor));
  });
}
