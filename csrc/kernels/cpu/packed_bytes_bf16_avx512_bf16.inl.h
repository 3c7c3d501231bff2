static size_t packed_bytes_bf16(int64_t columns, int64_t depth) {
  return packed_bytes<GemmDotRounded<DotBF16>>(columns, depth);
}
