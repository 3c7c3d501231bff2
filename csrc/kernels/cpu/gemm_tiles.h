// Both matrix products: `Dot` (GemmDotU8S8, GemmDotF32) says what a step of the inner product is,
// and gemm() which tiles the rows and columns are made of.
#pragma once

#include <stdint.h>
#include <string.h>

#include "kernels/cpu/gemm_tile.h"
#include "kernels/params.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

// DotU8S8 of simd_<isa>.h, joined with the rest of what gemm_tile asks for.
struct GemmDotU8S8 : DotU8S8 {
  using Parameters = GemmU8S8;
  using Code = uint8_t;
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
  using Code = float;
  using Element = float;
  using Sum = F;
  using Codes = F;
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
