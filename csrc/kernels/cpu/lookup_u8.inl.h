static void lookup_u8(const uint8_t* x, uint8_t* y, int64_t count, const uint8_t* table) {
#pragma GCC unroll 8
  for (int64_t i = 0; i < count; ++i) y[i] = table[x[i]];
}
