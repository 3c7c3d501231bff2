static void pack_f32(const float* weights, int64_t columns, int64_t depth, float* packed) {
  pack<GemmDotF32>(weights, columns, depth, packed);
}
