static size_t packed_bytes_u8s8(int64_t columns, int64_t depth) {
  return packed_bytes<GemmDotU8S8>(columns, depth);
}
