template <bool kOffset>
static inline void requantize_s32u8_rows(const RequantizeS32U8& p) {
  const ToCodes to_codes(p.low, p.high, p.zero_point);
  const int32_t* const bias = p.bias;
  const float* const scale = p.scale;
  const float* const offset = p.offset;
  const int64_t columns = p.columns;
  for (int64_t row = 0; row < p.rows; ++row) {
    const int32_t* const acc = p.acc + row * p.acc_stride;
    uint8_t* const y = p.y + row * p.y_stride;
    for_each_vector(columns, [&](int64_t c, auto lanes) {
      const F total = to_float(add(lanes.load(acc + c), lanes.load(bias + c)));
      F x = mul(total, lanes.load(scale + c));
      if constexpr (kOffset) x = add(x, lanes.load(offset + c));
      lanes.store(y + c, to_codes(x));
    });
  }
}

static void requantize_s32u8(const RequantizeS32U8& p) {
  p.offset == nullptr ? requantize_s32u8_rows<false>(p) : requantize_s32u8_rows<true>(p);
}
