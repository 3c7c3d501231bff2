static void pack_bf16(const float* weights, int64_t columns, int64_t depth, float* packed) {
  pack<GemmDotRounded<DotBF16>>(weights, columns, depth, reinterpret_cast<BFloat16*>(packed));
}
