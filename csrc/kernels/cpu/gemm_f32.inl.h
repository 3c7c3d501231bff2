static void gemm_f32(const GemmF32& p) { gemm<GemmDotF32>(p); }
