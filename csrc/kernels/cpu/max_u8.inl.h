// A plain loop: the compiler vectorizes bytes well, and lanes of int32 would be four times too
// wide.
static void max_u8(const uint8_t* x, uint8_t* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = x[i] > y[i] ? x[i] : y[i];
}
