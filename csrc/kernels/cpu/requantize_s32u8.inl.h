template <bool kOffset>
static inline void requantize_s32u8_rows(const RequantizeS32U8 p) {
  const ToCodes to_codes(p.low, p.high, p.zero_point);
  for (int64_t row = 0; row < p.rows; ++row) {
    const int32_t* const acc = p.acc + row * p.acc_stride;
    uint8_t* const y = p.y + row * p.y_stride;
    for_each_vector(p.columns, [=](int64_t c, auto lanes) {
      const F total = to_float(add(lanes.load(acc + c), lanes.load(p.bias + c)));
      F x = mul(total, lanes.load(p.scale + c));
      if constexpr (kOffset) x = add(x, lanes.load(p.offset + c));
      lanes.store(y + c, to_codes(x));
    });
  }
}

static void requantize_s32u8(const RequantizeS32U8& p) {
  p.offset == nullptr ? requantize_s32u8_rows<false>(p) : requantize_s32u8_rows<true>(p);
}
