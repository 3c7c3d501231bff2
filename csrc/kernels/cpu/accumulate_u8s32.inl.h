static void accumulate_u8s32(const uint8_t* x, int32_t* y, int64_t count) {
  for_each_vector(count, [&](int64_t i, auto lanes) {
    lanes.store(y + i, add(lanes.load(y + i), lanes.load(x + i)));
  });
}
