// What is added to the scores of one query: masks, causality, windows and lengths together.
#pragma once

#include <algorithm>
#include <limits>

#include "ops/element_types.h"
#include "ops/scaled_dot_product.h"

namespace sanderling {

// Extents are below 2^40 (Shape), so that what is a place in a sequence stays far from overflow.
constexpr int64_t kFarAway = int64_t{1} << 41;

// How many keys stand before the queries: where query i's own key is, less i.
inline int64_t attention_offset(const AttentionShape& s, void* const* inputs, int64_t b) {
  if (s.lengths == static_cast<size_t>(-1)) return s.past;
  const int64_t length = static_cast<const int64_t*>(inputs[s.lengths])[b];
  return std::clamp(length, -kFarAway, kFarAway) - s.queries;
}

// The keys [first, second) that causality, windows and lengths leave to query i.
inline std::pair<int64_t, int64_t> visible_keys(const AttentionShape& s, void* const* inputs,
                                                int64_t b, int64_t i) {
  const int64_t place = i + attention_offset(s, inputs, b);
  int64_t first = 0, last = s.total();
  if (s.causal) last = std::min(last, place + 1);
  if (s.right >= 0) last = std::min(last, place + std::min(s.right, kFarAway) + 1);
  if (s.left >= 0) first = std::max(first, place - std::min(s.left, kFarAway));
  if (s.lengths != static_cast<size_t>(-1))
    last = std::min(last, static_cast<const int64_t*>(inputs[s.lengths])[b]);
  last = std::max<int64_t>(last, 0);
  return {std::min(first, last), last};
}

template <typename T>
void add_mask(const AttentionShape& s, const AttentionMask& mask, void* const* inputs, int64_t b,
              int64_t h, int64_t i, T* bias) {
  const T filter = static_cast<T>(s.filter);
  const int64_t total = s.total(), start = b * mask.batch + h * mask.head + i * mask.row;
  const void* const data = inputs[mask.input];
  switch (mask.kind) {
    case AttentionMask::Kind::kAdd:
      visit_number(mask.dtype, [&](auto zero) {
        const auto* const x = static_cast<const decltype(zero)*>(data) + start;
        for (int64_t t = 0; t < mask.columns; ++t) bias[t] += static_cast<T>(x[t * mask.column]);
      });
      break;
    case AttentionMask::Kind::kAllow: {
      const auto* const x = static_cast<const bool*>(data) + start;
      for (int64_t t = 0; t < mask.columns; ++t) bias[t] += x[t * mask.column] ? T{0} : filter;
      break;
    }
    case AttentionMask::Kind::kKeep: {
      const auto* const x = static_cast<const int32_t*>(data) + start;
      for (int64_t t = 0; t < mask.columns; ++t) bias[t] += x[t * mask.column] > 0 ? T{0} : filter;
      break;
    }
    case AttentionMask::Kind::kEnds:
    case AttentionMask::Kind::kEndsAndStarts: {
      const auto* const x = static_cast<const int32_t*>(data);
      const bool has_start = mask.kind == AttentionMask::Kind::kEndsAndStarts;
      const int64_t end = x[b], begin = has_start ? x[s.batch + b] : 0;
      for (int64_t t = 0; t < total; ++t)
        if (t >= end || t < begin) bias[t] += filter;
      return;
    }
  }
  std::fill(bias + mask.columns, bias + total, -std::numeric_limits<T>::infinity());
}

// bias[t] for every key t of query i.
template <typename T>
void fill_bias(const AttentionShape& s, void* const* inputs, int64_t b, int64_t h, int64_t i,
               T* bias) {
  const int64_t total = s.total();
  std::fill_n(bias, total, T{0});
  for (const AttentionMask& mask : s.masks) add_mask(s, mask, inputs, b, h, i, bias);
  const auto [first, last] = visible_keys(s, inputs, b, i);
  std::fill(bias, bias + first, -std::numeric_limits<T>::infinity());
  std::fill(bias + last, bias + total, -std::numeric_limits<T>::infinity());
}

}  // namespace sanderling
