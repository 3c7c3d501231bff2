static void quantize_f32u8(const float* x, uint8_t* y, int64_t count, float scale,
                           int32_t zero_point) {
  const ToCodes to_codes(0, 255, zero_point);
  const F divisor =
      splat(scale);  // dividing, not multiplying by 1 / scale: ties must fall as in ONNX
  for_each_vector(count, [&](int64_t i, auto lanes) {
    lanes.store(y + i, to_codes(div(lanes.load(x + i), divisor)));
  });
}
