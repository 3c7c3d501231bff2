static float largest_f32(const float* x, int64_t count) { return largest(x, count); }
