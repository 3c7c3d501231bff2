static void gemm_bf16(const GemmF32& p) { gemm_rounded<GemmDotRounded<DotBF16>>(p); }
