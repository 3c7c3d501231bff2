// One tile of a matrix product: the sums of a few rows and columns, kept in registers over all of
// the depth. GCC keeps them there only if every loop over them is unrolled early.
#pragma once

#include "kernels/cpu/gemm_panels.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

// What only some ISAs say of their Dot, else 1. A sum of kSumRows rows has kLanes / kSumRows
// columns. One load of codes serves kCodeLanes groups of depth, lane by lane.
template <typename Dot>
constexpr int kSumRows = [] {
  if constexpr (requires { Dot::kSumRows; }) return Dot::kSumRows;
  return 1;
}();
template <typename Dot>
constexpr int kCodeLanes = [] {
  if constexpr (requires { Dot::kCodeLanes; }) return Dot::kCodeLanes;
  return 1;
}();

// Whether the codes are rounded from the floats of A, kRun of a row at a time (GemmDotRounded).
template <typename Dot>
constexpr bool kRoundsCodes = requires { Dot::kRun; };

template <typename Dot, int kRows, int kVectors>
struct GemmTile {
  static constexpr int kTall = kSumRows<Dot>;
  static constexpr int kSums = (kRows + kTall - 1) / kTall;  // that cover the rows
  static constexpr int kParts = kVectors * kTall;            // that cover the columns
  static constexpr int kPanelParts = Dot::kVectors * kTall;
  static_assert(kTall == 1 || Dot::kShift == 0, "a header is for sums of one row");

  const typename Dot::Code* a;
  int64_t a_stride;
  const typename Dot::Element* b;
  int64_t panel_stride;
  typename Dot::Sum sum[kSums][kParts];

  void start(const typename Dot::Parameters& p, int64_t first_panel) {
    panel_stride = panel_size<Dot>(p.depth);
    const auto* const panel = p.b + first_panel * panel_stride;
    b = panel + kHeaderSize<Dot>;
    const int64_t first_column = first_panel * kPanelColumns<Dot>;
#pragma GCC unroll 32
    for (int v = 0; v < kParts; ++v) {
      const auto value = Dot::start(p, panel + v / kPanelParts * panel_stride, v % kPanelParts,
                                    first_column + v * (kLanes / kTall));
#pragma GCC unroll 32
      for (int r = 0; r < kSums; ++r) sum[r][v] = value;
    }
  }

  auto weights(int v) const {
    const int in_panel = v % kPanelParts * (kLanes / kTall * Dot::kWidth);
    return Dot::weights(b + v / kPanelParts * panel_stride + in_panel);
  }
  void next_weights() { b += kPanelColumns<Dot> * Dot::kWidth; }

  // Keeps the weights in registers, and the codes of one row at a time.
  template <int kStep>
  void step_by_weights() {
    typename Dot::Weights w[kVectors];
#pragma GCC unroll 32
    for (int v = 0; v < kVectors; ++v) w[v] = weights(v);
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) {
      const auto codes = Dot::template spread<kStep>(a + r * a_stride);
#pragma GCC unroll 32
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Dot::add_dot(sum[r][v], codes, w[v]);
    }
    next_weights();
  }

  // Keeps the codes of all rows in registers, and two weights: the next is on its way while one is
  // used, since cores that run in order would wait for it.
  template <typename Codes, typename AddDot>
  void step_by_codes(const Codes (&codes)[kSums], const AddDot& add_dot) {
    auto next = weights(0);
#pragma GCC unroll 32
    for (int v = 0; v < kParts; ++v) {
      const auto w = next;
      if (v + 1 < kParts) next = weights(v + 1);
#pragma GCC unroll 32
      for (int r = 0; r < kSums; ++r) sum[r][v] = add_dot(sum[r][v], codes[r], w);
    }
    next_weights();
  }

  template <int kStep>
  void step() {
    if constexpr (kTall == 2) {
      typename Dot::Codes codes[kSums];
#pragma GCC unroll 32
      for (int r = 0; r < kSums; ++r) {
        const int next = 2 * r + 1 < kRows ? 2 * r + 1 : 2 * r;  // an odd last row fills both
        codes[r] = Dot::spread_pair(a + 2 * r * a_stride, a + next * a_stride);
      }
      step_by_codes(codes, [](auto s, auto c, auto w) { return Dot::add_dot(s, c, w); });
    } else if constexpr (kRows == 1) {  // each weight has one use: no register for it
      const typename Dot::Codes codes[] = {Dot::template spread<kStep>(a)};
      step_by_codes(codes, [](auto s, auto c, auto w) { return Dot::add_dot(s, c, w); });
    } else {
      step_by_weights<kStep>();
    }
  }

  // kCodeLanes groups of depth.
  void steps_by_lane() {
    static_assert(kCodeLanes<Dot> == 4 && Dot::kSteps == 1);
    typename Dot::Codes codes[kSums];
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) codes[r] = Dot::spread_lanes(a + r * a_stride);
    step_by_codes(codes, [](auto s, auto c, auto w) { return Dot::template add_lane<0>(s, c, w); });
    step_by_codes(codes, [](auto s, auto c, auto w) { return Dot::template add_lane<1>(s, c, w); });
    step_by_codes(codes, [](auto s, auto c, auto w) { return Dot::template add_lane<2>(s, c, w); });
    step_by_codes(codes, [](auto s, auto c, auto w) { return Dot::template add_lane<3>(s, c, w); });
  }

  // Adds the products of the next `depth` codes of each row, which are `stride` apart.
  void run(const typename Dot::Code* codes, int64_t stride, int64_t depth) {
    a = codes;
    a_stride = stride;
    int64_t k = 0;
    if constexpr (kCodeLanes<Dot> > 1) {
      constexpr int64_t kLoad = kCodeLanes<Dot> * kGroupDepth<Dot>;
      for (; k + kLoad <= depth; k += kLoad) {
        steps_by_lane();
        a += kLoad;
      }
    }
    for (; k < depth; k += kGroupDepth<Dot>) {
      step<0>();
      if constexpr (Dot::kSteps == 2) step<1>();
      a += kGroupDepth<Dot>;
    }
  }

  auto sum_of(int r, int v) const {
    if constexpr (kTall == 1) return sum[r][v];
    if constexpr (kTall == 2) return Dot::row_of(r % 2, sum[r / 2][2 * v], sum[r / 2][2 * v + 1]);
  }
  // Writes the columns that there are.
  void store_to(const typename Dot::Parameters& p, int64_t row, int64_t first_column) const {
    const int64_t columns = p.columns - first_column;
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) {
      auto* const c = p.c + (row + r) * p.c_stride + first_column;
#pragma GCC unroll 32
      for (int v = 0; v < kVectors; ++v) {
        const int64_t left = columns - v * kLanes;
        if (left >= kLanes) {
          store(c + v * kLanes, Dot::finish(p, sum_of(r, v)));
        } else if (v == kVectors - 1) {
          store_first(c + v * kLanes, Dot::finish(p, sum_of(r, v)), left);
        }
      }
    }
  }
};

// kRows rows by kVectors vectors of columns, from the start of a panel: a part of it, or several.
template <typename Dot, int kRows, int kVectors>
inline void gemm_tile(const typename Dot::Parameters& p, int64_t row, int64_t first_panel) {
  GemmTile<Dot, kRows, kVectors> tile;
  tile.start(p, first_panel);
  const auto* const a = p.a + row * p.a_stride;
  if constexpr (kRoundsCodes<Dot>) {
    for (int64_t k = 0; k < p.depth; k += Dot::kRun) {
      const int64_t count = p.depth - k < Dot::kRun ? p.depth - k : Dot::kRun;
      for (int r = 0; r < kRows; ++r) {
        Dot::round(a + r * p.a_stride + k, count, p.codes + r * Dot::kRun);
      }
      tile.run(p.codes, Dot::kRun, count);
    }
  } else {
    tile.run(a, p.a_stride, p.depth);
  }
  tile.store_to(p, row, first_panel * kPanelColumns<Dot>);
}

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
