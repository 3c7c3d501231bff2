// The one loop nest of both matrix products; `Dot` (GemmDotU8S8, GemmDotF32) says what a step of
// the inner product is. Weights are packed in panels of kVectors * kLanes columns; a panel is a
// header of int32 (one per column, only where codes are shifted) and then, for each group of depth,
// what kSteps * kVectors calls of Dot::weights take.
#pragma once

#include <stdint.h>
#include <string.h>

#include "kernels/params.h"

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

// DotU8S8 of simd_<isa>.h, joined with the rest of what gemm_tile asks for.
struct GemmDotU8S8 : DotU8S8 {
  using Parameters = GemmU8S8;
  using Element = int8_t;
  using Sum = I;
  static I start(const GemmU8S8&, const int8_t* panel, int vector, int64_t) {
    if constexpr (kShift == 0) return splat(0);
    int32_t compensation[kLanes];
    memcpy(compensation, panel + vector * sizeof(compensation), sizeof(compensation));
    return load(compensation);
  }
  static I finish(const GemmU8S8&, I sum) { return sum; }
};

struct GemmDotF32 {
  using Parameters = GemmF32;
  using Element = float;
  using Sum = F;
  using Weights = F;
  static constexpr int kRows = kFloatRows;
  static constexpr int kVectors = kFloatVectors;
  static constexpr int kSteps = 1;
  static constexpr int kWidth = 1;
  static constexpr int32_t kShift = 0;
  template <int kStep>
  static F spread(const float* a) {
    return splat(*a);
  }
  static F weights(const float* b) { return load(b); }
  static F add_dot(F sum, F a, F b) { return multiply_add(a, b, sum); }
  static F start(const GemmF32& p, const float*, int, int64_t column) {
    if (p.bias == nullptr || column >= p.columns) return splat(0.0f);
    if (column + kLanes <= p.columns) return load(p.bias + column);
    return load_first(p.bias + column, p.columns - column);
  }
  static F finish(const GemmF32& p, F sum) { return clip(sum, splat(p.low), splat(p.high)); }
};

// GemmDotF32 with the steps of a unit's Dot, whose codes are not floats but rounded from them. They
// are rounded again for each tile, kRun of a row at a time: so there is no copy of A whose size
// depends on the product, and rounding costs 1/32 of the dot products of a whole tile.
template <typename Dot>
struct GemmDotRounded : Dot {
  static constexpr int64_t kRun = 128;
  using Code = typename Dot::Element;
  struct Parameters : GemmF32 {
    const typename Dot::Element* b;  // hides the floats of GemmF32
    Code* codes;                     // kRows * kRun
  };
  using Sum = F;
  static F start(const GemmF32& p, const Code*, int vector, int64_t column) {
    return GemmDotF32::start(p, nullptr, vector, column);
  }
  static F finish(const GemmF32& p, F sum) { return GemmDotF32::finish(p, sum); }
};

// kRows rows by kVectors vectors of columns, from the start of a panel: a part of it, or several.
// GCC keeps `sum` in registers only if every loop over it is unrolled early.
template <typename Dot, int kRows, int kVectors>
inline void gemm_tile(const typename Dot::Parameters& p, int64_t row, int64_t first_panel) {
  const int64_t depth = p.depth;
  const int64_t a_stride = p.a_stride;
  const int64_t stride = panel_size<Dot>(depth);
  const auto* const panel = p.b + first_panel * stride;
  const int64_t first_column = first_panel * kPanelColumns<Dot>;
  typename Dot::Sum sum[kRows][kVectors];
#pragma GCC unroll 32
  for (int v = 0; v < kVectors; ++v) {
    const auto start = Dot::start(p, panel + v / Dot::kVectors * stride, v % Dot::kVectors,
                                  first_column + v * kLanes);
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) sum[r][v] = start;
  }

  const auto* b = panel + kHeaderSize<Dot>;
  const auto weights_of = [&](int v) {
    const int in_panel = v % Dot::kVectors * (kLanes * Dot::kWidth);
    return Dot::weights(b + v / Dot::kVectors * stride + in_panel);
  };
  // Adds the products of the next `count` codes of each row, which are `codes_stride` apart.
  const auto add_products = [&](const auto* codes, int64_t codes_stride, int64_t count) {
    const auto step = [&](auto spread) {
      if constexpr (kRows == 1) {  // each weight has one use: no register for it
        const auto code = spread(codes);
#pragma GCC unroll 32
        for (int v = 0; v < kVectors; ++v) sum[0][v] = Dot::add_dot(sum[0][v], code, weights_of(v));
      } else {
        typename Dot::Weights weights[kVectors];
#pragma GCC unroll 32
        for (int v = 0; v < kVectors; ++v) weights[v] = weights_of(v);
#pragma GCC unroll 32
        for (int r = 0; r < kRows; ++r) {
          const auto code = spread(codes + r * codes_stride);
#pragma GCC unroll 32
          for (int v = 0; v < kVectors; ++v) sum[r][v] = Dot::add_dot(sum[r][v], code, weights[v]);
        }
      }
      b += kPanelColumns<Dot> * Dot::kWidth;
    };
    for (int64_t k = 0; k < count; k += kGroupDepth<Dot>) {
      step([](const auto* at) { return Dot::template spread<0>(at); });
      if constexpr (Dot::kSteps == 2) {
        step([](const auto* at) { return Dot::template spread<1>(at); });
      }
      codes += kGroupDepth<Dot>;
    }
  };
  const auto* const a = p.a + row * a_stride;
  if constexpr (requires { Dot::kRun; }) {
    for (int64_t k = 0; k < depth; k += Dot::kRun) {
      const int64_t count = depth - k < Dot::kRun ? depth - k : Dot::kRun;
      for (int r = 0; r < kRows; ++r) {
        Dot::round(a + r * a_stride + k, count, p.codes + r * Dot::kRun);
      }
      add_products(p.codes, Dot::kRun, count);
    }
  } else {
    add_products(a, a_stride, depth);
  }

  const int64_t columns = p.columns - first_column;
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r) {
    auto* const c = p.c + (row + r) * p.c_stride + first_column;
#pragma GCC unroll 32
    for (int v = 0; v < kVectors; ++v) {
      const int64_t left = columns - v * kLanes;
      if (left >= kLanes) {
        store(c + v * kLanes, Dot::finish(p, sum[r][v]));
      } else if (v == kVectors - 1) {
        store_first(c + v * kLanes, Dot::finish(p, sum[r][v]), left);
      }
    }
  }
}

// gemm_tile<Dot, kRows, n> for a count n <= kMost that is known at run time only: of rows, or of
// vectors of one row.
template <typename Dot, int kMost, int kVectors>
inline void gemm_some_rows(const typename Dot::Parameters& p, int64_t row, int64_t rows,
                           int64_t panel) {
  if constexpr (kMost > 0) {
    if (rows == kMost) {
      gemm_tile<Dot, kMost, kVectors>(p, row, panel);
    } else {
      gemm_some_rows<Dot, kMost - 1, kVectors>(p, row, rows, panel);
    }
  }
}
template <typename Dot, int kMost>
inline void gemm_some_vectors(const typename Dot::Parameters& p, int64_t vectors, int64_t panel) {
  if constexpr (kMost > 0) {
    if (vectors == kMost) {
      gemm_tile<Dot, 1, kMost>(p, 0, panel);
    } else {
      gemm_some_vectors<Dot, kMost - 1>(p, vectors, panel);
    }
  }
}

// Rows [first, end) of one panel, of which `vectors` <= kMost are wanted.
template <typename Dot, int kMost>
inline void gemm_panel(const typename Dot::Parameters& p, int64_t first, int64_t end,
                       int64_t vectors, int64_t panel) {
  if constexpr (kMost > 0) {
    if (vectors < kMost) return gemm_panel<Dot, kMost - 1>(p, first, end, vectors, panel);
    int64_t row = first;
    for (; row + Dot::kRows <= end; row += Dot::kRows) {
      gemm_tile<Dot, Dot::kRows, kMost>(p, row, panel);
    }
    gemm_some_rows<Dot, Dot::kRows - 1, kMost>(p, row, end - row, panel);
  }
}

// Not inlined into gemm_rounded: there the codes lie on the stack, and
// tests/test_kernel_objects.py, which counts vectors on the stack, could not tell them from spilled
// sums.
template <typename Dot>
[[gnu::noinline]] inline void gemm(const typename Dot::Parameters& p) {
  constexpr int64_t kVectors = Dot::kVectors;
  const int64_t vectors = (p.columns + kLanes - 1) / kLanes;
  if (p.rows == 1) {
    // Eight sums at a time hide the latency of adding to one: 4 cycles on 2 units.
    constexpr int kAtOnce = 8;
    int64_t v = 0;
    for (; v + kAtOnce <= vectors; v += kAtOnce) gemm_tile<Dot, 1, kAtOnce>(p, 0, v / kVectors);
    return gemm_some_vectors<Dot, kAtOnce - 1>(p, vectors - v, v / kVectors);
  }
  // The rows of A that every panel reads again fill half of a second-level cache of 256 KiB.
  const int64_t row_bytes = (p.depth + 1) * static_cast<int64_t>(sizeof(*p.a));
  const int64_t block = ((128 << 10) / row_bytes / Dot::kRows + 1) * Dot::kRows;
  for (int64_t first = 0; first < p.rows; first += block) {
    const int64_t end = first + block < p.rows ? first + block : p.rows;
    for (int64_t v = 0; v < vectors; v += kVectors) {
      const int64_t wanted = vectors - v < kVectors ? vectors - v : kVectors;
      gemm_panel<Dot, kVectors>(p, first, end, wanted, v / kVectors);
    }
  }
}

// gemm() of a GemmDotRounded.
template <typename Dot>
inline void gemm_rounded(const GemmF32& p) {
  alignas(64) typename Dot::Code codes[Dot::kRows * Dot::kRun];
  gemm<Dot>({p, reinterpret_cast<const typename Dot::Element*>(p.b), codes});
}

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
