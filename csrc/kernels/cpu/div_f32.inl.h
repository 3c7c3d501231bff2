static void div_f32(const BinaryF32& p) {
  binary(p, [](F a, F b) { return div(a, b); });
}
