static void mul_f32(const BinaryF32& p) {
  binary(p, [](F a, F b) { return mul(a, b); });
}
