static void add_f32(const BinaryF32& p) {
  binary(p, [](F a, F b) { return add(a, b); });
}
