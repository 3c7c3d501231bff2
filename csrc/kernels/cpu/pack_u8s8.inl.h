static void pack_u8s8(const int8_t* weights, int64_t columns, int64_t depth, int8_t* packed) {
  pack<GemmDotU8S8>(weights, columns, depth, packed);
}
