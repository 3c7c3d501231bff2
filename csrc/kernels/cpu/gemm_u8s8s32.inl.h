static void gemm_u8s8s32(const GemmU8S8& p) { gemm<GemmDotU8S8>(p); }
