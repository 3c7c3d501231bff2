static void mul_u8(const BinaryU8& p) {
  const F scale = splat(p.a_scale);
  binary_codes(p, [&](I a, I b) { return mul(to_float(mul(a, b)), scale); });
}
