// Rotary position embedding, what ONNX's and ONNX Runtime's operators share: pairs of numbers of
// each head are rotated by angles that depend on the place in the sequence.
#pragma once

#include <algorithm>

#include "ops/scaled_dot_product.h"

namespace sanderling {

struct Rotary {
  int64_t batch, heads, rows, size;
  int64_t rotated;   // the first numbers of a head; the others stay
  bool interleaved;  // a pair is neighbours, not one of each half
  HeadRows at;
  size_t cosines, sines;  // inputs: rows of rotated / 2
};

// x as [batch, rows, heads * size] or [batch, heads, rows, size]; `heads` is for the first.
inline Rotary rotary_of(const InferContext& context, int64_t heads) {
  const Shape& x = context.input(0).shape;
  if (x.rank() == 4)
    return {.batch = x[0],
            .heads = x[1],
            .rows = x[2],
            .size = x[3],
            .rotated = x[3],
            .interleaved = context.attributes().integer("interleaved", 0) != 0,
            .at = heads_first(x[1], x[2], x[3]),
            .cosines = 0,
            .sines = 0};
  if (x.rank() != 3 || heads < 1 || heads > kMostHeads || x[2] % heads != 0)
    context.error("x has shape ", x.to_string(),
                  ", expected rank 4, or rank 3 with a multiple of "
                  "num_heads, here ",
                  heads);
  return {.batch = x[0],
          .heads = heads,
          .rows = x[1],
          .size = x[2] / heads,
          .rotated = x[2] / heads,
          .interleaved = context.attributes().integer("interleaved", 0) != 0,
          .at = rows_first(heads, x[1], x[2] / heads),
          .cosines = 0,
          .sines = 0};
}

// The attribute "rotary_embedding_dim"; 0 is all.
inline void set_rotated(const InferContext& context, Rotary& rotary) {
  const int64_t rotated = context.attributes().integer("rotary_embedding_dim", 0);
  if (rotated != 0) rotary.rotated = rotated;
  if (rotary.rotated < 0 || rotary.rotated > rotary.size || rotary.rotated % 2 != 0)
    context.error("rotates ", rotary.rotated, " of the ", rotary.size,
                  " numbers of a head, expected an even number that is not more");
}

// One head of one row.
template <typename T>
void rotate_head(const Rotary& r, const T* x, const T* cosines, const T* sines, T* y) {
  const int64_t half = r.rotated / 2, step = r.interleaved ? 2 : 1;
  const int64_t second = r.interleaved ? 1 : half;
  for (int64_t i = 0; i < half; ++i) {
    const auto one = static_cast<double>(x[i * step]);
    const auto two = static_cast<double>(x[i * step + second]);
    const auto c = static_cast<double>(cosines[i]), s = static_cast<double>(sines[i]);
    y[i * step] = static_cast<T>(c * one - s * two);
    y[i * step + second] = static_cast<T>(s * one + c * two);
  }
  std::copy(x + r.rotated, x + r.size, y + r.rotated);
}

// `place` is the row of the caches for row s of sequence b; fails if there is none. There is no
// step of a plan: it could not fail, and this is bound by memory too.
template <typename Place>
void reference_rotary(const ReferenceContext& context, const Rotary& r, const Place& place) {
  const auto rotate_all = [&](auto zero) {
    using T = decltype(zero);
    for (int64_t b = 0; b < r.batch; ++b)
      for (int64_t s = 0; s < r.rows; ++s) {
        const int64_t angles = place(b, s) * (r.rotated / 2);
        for (int64_t h = 0; h < r.heads; ++h)
          rotate_head(r, context.in<T>(0) + r.at.at(b, h, s), context.in<T>(r.cosines) + angles,
                      context.in<T>(r.sines) + angles, context.out<T>(0) + r.at.at(b, h, s));
      }
  };
  if (context.input(0).dtype == DType::kFloat32)
    rotate_all(float{});
  else
    rotate_all(double{});
}

// A place that comes as data.
inline int64_t checked_place(const InferContext& context, int64_t place, int64_t places) {
  if (place < 0 || place >= places)
    context.error("position ", place, " is outside [0, ", places, "), the rows of the caches");
  return place;
}

}  // namespace sanderling
