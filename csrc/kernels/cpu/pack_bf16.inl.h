static constexpr void (*pack_bf16)(const float*, int64_t, int64_t, float*) = nullptr;
