static constexpr size_t (*packed_bytes_bf16)(int64_t, int64_t) = nullptr;
