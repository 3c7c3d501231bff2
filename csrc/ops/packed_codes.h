// Constant weights of any 8-bit type for the kernels that multiply uint8 by int8, and what brings
// zero points that are known only in a run into their sums.
#pragma once

#include <vector>

#include "graph/operator.h"
#include "ops/packed_blocks.h"

namespace sanderling {

// Sums of (u8 - zero) * (u8 - zero) stay within int32 up to here: 32768 * 255 * 255 < 2^31.
constexpr int64_t kMaxCentredDepth = 32768;

// Bytes of a part of scratch that kernels may read past the end of.
inline size_t scratch_bytes(int64_t bytes) {
  return (static_cast<size_t>(bytes) + kSlackBytes + kAlignment - 1) / kAlignment * kAlignment;
}

inline int32_t sum_of_codes(const uint8_t* codes, int64_t count) {
  int32_t sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += codes[i];
  return sum;
}

// The zero point of activations as they are multiplied: int8 codes are raised by 128 to uint8.
// nullptr is 0.
inline int32_t raised_zero_point(const void* zeros, bool is_signed, int64_t i) {
  if (!zeros) return is_signed ? 128 : 0;
  return is_signed ? static_cast<const int8_t*>(zeros)[i] + 128
                   : static_cast<const uint8_t*>(zeros)[i];
}

// The zero point of weights as they are multiplied: uint8 codes are lowered by 128 to int8.
inline int32_t lowered_zero_point(const void* zeros, bool is_signed, int64_t i) {
  return raised_zero_point(zeros, is_signed, i) - 128;
}

struct PackedCodes {
  PackedBlocks<int8_t> blocks;
  std::shared_ptr<const Tensor> sums;  // int32, of each column of each matrix
  int64_t depth;

  // Those of a node's weights [matrices][columns][depth], or `transposed` [depth][columns] of one
  // matrix, which its model keeps.
  static PackedCodes of_node(PlanContext& context, const KnownTensor& weights, int64_t matrices,
                             int64_t columns, int64_t depth, bool transposed) {
    const auto codes = [&] { return lowered(weights, matrices * columns, depth, transposed); };
    const TensorType type{DType::kInt32, Shape{matrices * columns}};
    return {PackedBlocks<int8_t>::of_node(context, "packed", matrices, columns, depth, codes),
            context.shared_tensor("sums", type, [&] { return sums_of(type, codes(), depth); }),
            depth};
  }

  // The sum of (a - a_zero) * (b - b_zero) from that of a * b, the sum of the row of a, and both
  // zero points; in the low 32 bits. `column` counts through all matrices.
  int32_t centred(int32_t sum, int32_t row_sum, int32_t a_zero, int32_t b_zero,
                  int64_t column) const {
    const auto u = [](int64_t x) { return static_cast<uint32_t>(x); };
    const uint32_t a = u(a_zero) * u(sums->data<int32_t>()[static_cast<size_t>(column)]);
    const uint32_t b = u(b_zero) * (u(row_sum) - u(depth) * u(a_zero));
    return static_cast<int32_t>(u(sum) - a - b);
  }

 private:
  static Tensor sums_of(const TensorType& type, const std::vector<int8_t>& weights, int64_t depth) {
    Tensor sums(type);
    const std::span<int32_t> of_columns = sums.mutable_data<int32_t>();
    for (size_t i = 0; i < weights.size(); ++i)
      of_columns[i / static_cast<size_t>(depth)] += weights[i];
    return sums;
  }

  static std::vector<int8_t> lowered(const KnownTensor& weights, int64_t columns, int64_t depth,
                                     bool transposed) {
    std::vector<int8_t> result(static_cast<size_t>(columns * depth));
    const auto* bytes = static_cast<const uint8_t*>(weights.raw());
    const uint8_t flip = weights.dtype() == DType::kInt8 ? 0 : 0x80;
    for (int64_t n = 0; n < columns; ++n)
      for (int64_t k = 0; k < depth; ++k)
        result[static_cast<size_t>(n * depth + k)] =
            static_cast<int8_t>(bytes[transposed ? k * columns + n : n * depth + k] ^ flip);
    return result;
  }
};

}  // namespace sanderling
