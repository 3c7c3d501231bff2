static void add_u8(const BinaryU8& p) {
  const F a_scale = splat(p.a_scale);
  const F b_scale = splat(p.b_scale);
  binary_codes(p,
               [&](I a, I b) { return add(mul(to_float(a), a_scale), mul(to_float(b), b_scale)); });
}
