template <bool kOffset>
static inline void requantize_s32f32_rows(const RequantizeS32F32& p) {
  const F low = splat(p.low);
  const F high = splat(p.high);
  const int32_t* const bias = p.bias;
  const float* const scale = p.scale;
  const float* const offset = p.offset;
  const int64_t columns = p.columns;
  for (int64_t row = 0; row < p.rows; ++row) {
    const int32_t* const acc = p.acc + row * p.acc_stride;
    float* const y = p.y + row * p.y_stride;
    for_each_vector(columns, [&](int64_t c, auto lanes) {
      const F total = to_float(add(lanes.load(acc + c), lanes.load(bias + c)));
      F x = mul(total, lanes.load(scale + c));
      if constexpr (kOffset) x = add(x, lanes.load(offset + c));
      lanes.store(y + c, clip(x, low, high));
    });
  }
}

static void requantize_s32f32(const RequantizeS32F32& p) {
  p.offset == nullptr ? requantize_s32f32_rows<false>(p) : requantize_s32f32_rows<true>(p);
}
