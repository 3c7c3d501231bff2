static constexpr void (*gemm_bf16)(const GemmF32&) = nullptr;
