static size_t packed_bytes_f32(int64_t columns, int64_t depth) {
  return packed_bytes<GemmDotF32>(columns, depth);
}
