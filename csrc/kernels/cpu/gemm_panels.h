// Weights of a matrix product are packed in panels of kVectors * kLanes columns; a panel is a
// header of int32 (one per column, only where codes are shifted) and then, for each group of depth,
// what kSteps * kVectors calls of Dot::weights take.
#pragma once

#include <stdint.h>
#include <string.h>

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

template <typename Dot>
constexpr int64_t kPanelColumns = int64_t{Dot::kVectors} * kLanes;
template <typename Dot>
constexpr int64_t kGroupDepth = int64_t{Dot::kSteps} * Dot::kWidth;
// Elements of B in one group of one panel, in its header, and in all of it.
template <typename Dot>
constexpr int64_t kGroupSize = kPanelColumns<Dot> * kGroupDepth<Dot>;
template <typename Dot>
constexpr int64_t kHeaderSize =
    Dot::kShift == 0
        ? 0
        : kPanelColumns<Dot> * int64_t{sizeof(int32_t) / sizeof(typename Dot::Element)};
template <typename Dot>
constexpr int64_t panel_size(int64_t depth) {
  const int64_t groups = (depth + kGroupDepth<Dot> - 1) / kGroupDepth<Dot>;
  return kHeaderSize<Dot> + groups * kGroupSize<Dot>;
}
template <typename Dot>
constexpr int64_t panel_count(int64_t columns) {
  return (columns + kPanelColumns<Dot> - 1) / kPanelColumns<Dot>;
}
template <typename Dot>
constexpr size_t packed_bytes(int64_t columns, int64_t depth) {
  return static_cast<size_t>(panel_count<Dot>(columns) * panel_size<Dot>(depth)) *
         sizeof(typename Dot::Element);
}

// weights is [columns][depth]; columns and depths that a panel has too many are zero.
template <typename Dot, typename Weight>
inline void pack(const Weight* weights, int64_t columns, int64_t depth,
                 typename Dot::Element* packed) {
  using Element = typename Dot::Element;
  memset(static_cast<void*>(packed), 0, packed_bytes<Dot>(columns, depth));
  for (int64_t column = 0; column < columns; ++column) {
    const int64_t in_panel = column % kPanelColumns<Dot>;
    Element* const panel = packed + column / kPanelColumns<Dot> * panel_size<Dot>(depth);
    const Weight* const row = weights + column * depth;
    for (int64_t k = 0; k < depth; ++k) {
      const int64_t step = k % Dot::kSteps;
      const int64_t within = k % kGroupDepth<Dot> / Dot::kSteps;
      Element* const group = panel + kHeaderSize<Dot> + k / kGroupDepth<Dot> * kGroupSize<Dot>;
      group[(step * kPanelColumns<Dot> + in_panel) * Dot::kWidth + within] =
          static_cast<Element>(row[k]);
    }
    if constexpr (Dot::kShift != 0) {
      int32_t compensation = 0;
      for (int64_t k = 0; k < depth; ++k) compensation += Dot::kShift * row[k];
      memcpy(panel + in_panel * sizeof(compensation), &compensation, sizeof(compensation));
    }
  }
}

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
