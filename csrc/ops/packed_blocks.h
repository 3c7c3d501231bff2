#pragma once

#include <algorithm>
#include <type_traits>

#include "graph/operator.h"
#include "kernels/table.h"

namespace sanderling {

// Columns of a block: a multiple of every kernel's panel, and enough that a row of activations is
// worth loading.
constexpr int64_t kBlockColumns = 256;

// Weights packed in blocks of columns, so that tasks may share the columns of one matrix among
// them.
template <typename T>
class PackedBlocks {
 public:
  // `weights` is [matrices][columns][depth].
  PackedBlocks(const KernelTable& kernels, const T* weights, int64_t matrices, int64_t columns,
               int64_t depth)
      : PackedBlocks(kernels, columns, depth) {
    packed_ = std::make_shared<const Tensor>(pack(kernels, weights, matrices, columns, depth));
  }
  // Those of a node's weights, which its model keeps; `weights` gives a container of them and is
  // called where they are not packed yet.
  template <typename Weights>
  static PackedBlocks of_node(PlanContext& context, std::string_view tag, int64_t matrices,
                              int64_t columns, int64_t depth, const Weights& weights) {
    const KernelTable& kernels = context.kernels();
    PackedBlocks blocks(kernels, columns, depth);
    const TensorType type{dtype_of<T>(), Shape{matrices * blocks.blocks_ * blocks.block_size_}};
    blocks.packed_ = context.shared_tensor(tag, type, [&] {
      const auto& given = weights();
      return blocks.pack(kernels, given.data(), matrices, columns, depth);
    });
    return blocks;
  }

  int64_t blocks() const { return blocks_; }  // per matrix
  const T* block(int64_t matrix, int64_t block) const {
    return packed_->template data<T>().data() + (matrix * blocks_ + block) * block_size_;
  }

 private:
  PackedBlocks(const KernelTable& kernels, int64_t columns, int64_t depth)
      : blocks_((columns + kBlockColumns - 1) / kBlockColumns),
        block_size_(elements(kernels, std::min(columns, kBlockColumns), depth)) {}

  Tensor pack(const KernelTable& kernels, const T* weights, int64_t matrices, int64_t columns,
              int64_t depth) const {
    Tensor packed(dtype_of<T>(), Shape{matrices * blocks_ * block_size_});
    for (int64_t i = 0; i < matrices * blocks_; ++i) {
      const int64_t first = i % blocks_ * kBlockColumns;
      const T* from = weights + (i / blocks_ * columns + first) * depth;
      T* to = packed.template mutable_data<T>().data() + i * block_size_;
      if constexpr (std::is_same_v<T, float>)
        kernels.pack_f32(from, std::min(kBlockColumns, columns - first), depth, to);
      else
        kernels.pack_u8s8(from, std::min(kBlockColumns, columns - first), depth, to);
    }
    return packed;
  }

  static int64_t elements(const KernelTable& kernels, int64_t columns, int64_t depth) {
    if constexpr (std::is_same_v<T, float>)
      return static_cast<int64_t>(kernels.packed_bytes_f32(columns, depth) / sizeof(float));
    else
      return static_cast<int64_t>(kernels.packed_bytes_u8s8(columns, depth));
  }

  int64_t blocks_, block_size_;
  std::shared_ptr<const Tensor> packed_;
};

}  // namespace sanderling
