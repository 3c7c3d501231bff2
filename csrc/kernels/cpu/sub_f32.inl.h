static void sub_f32(const BinaryF32& p) {
  binary(p, [](F a, F b) { return sub(a, b); });
}
