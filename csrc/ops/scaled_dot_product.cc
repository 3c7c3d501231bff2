#include "ops/scaled_dot_product.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/attention_bias.h"
#include "ops/real_numbers.h"

namespace sanderling {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Probabilities of scores; zeros where there is no largest one that is a number or +inf.
void normalise(std::vector<double>& x) {
  double largest = -kInfinity, sum = 0.0;
  for (double each : x) largest = std::max(largest, each);
  if (largest == -kInfinity && std::none_of(x.begin(), x.end(), [](double v) { return v != v; })) {
    std::fill(x.begin(), x.end(), 0.0);
    return;
  }
  for (double& each : x) {
    each = std::exp(each - largest);
    sum += each;
  }
  for (double& each : x) each /= sum;
}

// One query's probabilities; writes the scores if they are wanted.
std::vector<double> probabilities(const ReferenceContext& context, const AttentionShape& s,
                                  const ReferenceAttention& io, void* const* inputs, int64_t b,
                                  int64_t h, int64_t i) {
  const auto total = static_cast<size_t>(s.total());
  const int64_t kv_head = h / (s.heads / s.kv_heads);
  std::vector<double> x(total), bias(total);
  const auto write_scores = [&](int64_t mode) {
    if (mode != s.scores_mode) return;
    for (size_t t = 0; t < total; ++t)
      write_real(context, io.scores,
                 ((b * s.heads + h) * s.queries + i) * s.total() + static_cast<int64_t>(t), x[t]);
  };
  for (int64_t t = 0; t < s.total(); ++t)
    for (int64_t d = 0; d < s.size; ++d)
      x[static_cast<size_t>(t)] +=
          io.q(b, h, i, d) * static_cast<double>(s.scale) *
          (t < s.past ? io.past_k(b, kv_head, t, d) : io.k(b, kv_head, t - s.past, d));
  write_scores(0);
  const auto cap = static_cast<double>(s.softcap);
  for (double& each : x)
    if (cap > 0.0) each = cap * std::tanh(each / cap);
  write_scores(1);
  fill_bias(s, inputs, b, h, i, bias.data());
  for (size_t t = 0; t < total; ++t) x[t] += bias[t];
  write_scores(2);
  if (std::all_of(bias.begin(), bias.end(), [](double v) { return v == -kInfinity; }))
    std::fill(x.begin(), x.end(), 0.0);
  else
    normalise(x);
  write_scores(3);
  return x;
}

}  // namespace

HeadRows heads_first(int64_t heads, int64_t rows, int64_t size) {
  return {.batch = heads * rows * size, .head = rows * size, .row = size};
}

HeadRows rows_first(int64_t heads, int64_t rows, int64_t size) {
  return {.batch = rows * heads * size, .head = size, .row = heads * size};
}

AttentionMask mask_of(const InferContext& context, size_t input, const AttentionShape& s,
                      bool may_pad) {
  const TensorType& type = context.input(input);
  const Shape& shape = type.shape;
  const int64_t to[] = {s.batch, s.heads, s.queries, s.total()};
  int64_t strides[] = {0, 0, 0, 0};
  const int64_t rank = shape.rank();
  const bool is_padded = may_pad && rank > 0 && shape[rank - 1] < s.total();
  int64_t stride = 1;
  for (int64_t axis = 1; axis <= rank; ++axis) {
    const int64_t extent = shape[rank - axis];
    const bool fits = axis <= 4 && (extent == 1 || extent == to[4 - axis]);
    if (!fits && !(axis == 1 && is_padded))
      context.error("the mask has shape ", shape.to_string(), ", which does not broadcast to [",
                    to[0], ", ", to[1], ", ", to[2], ", ", to[3],
                    "], batch, heads, queries and keys");
    if (extent != 1 || (axis == 1 && is_padded)) strides[4 - axis] = stride;
    stride *= extent;
  }
  return {
      .kind = type.dtype == DType::kBool ? AttentionMask::Kind::kAllow : AttentionMask::Kind::kAdd,
      .input = input,
      .dtype = type.dtype,
      .batch = strides[0],
      .head = strides[1],
      .row = strides[2],
      .column = strides[3],
      .columns = is_padded ? shape[rank - 1] : s.total()};
}

void reference_attention(const ReferenceContext& context, const AttentionShape& s,
                         const ReferenceAttention& io) {
  std::vector<void*> inputs(context.inputs());
  for (size_t i = 0; i < inputs.size(); ++i)
    inputs[i] = const_cast<void*>(context.raw_input(i));  // masks are only read
  if (io.lengths) {
    inputs.resize(s.lengths + 1);
    inputs[s.lengths] = const_cast<int64_t*>(io.lengths);
  }
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t kv_head = h / (s.heads / s.kv_heads);
      for (int64_t i = 0; i < s.queries; ++i) {
        const std::vector<double> x = probabilities(context, s, io, inputs.data(), b, h, i);
        for (int64_t d = 0; d < s.v_size; ++d) {
          double sum = 0.0;
          for (int64_t t = 0; t < s.total(); ++t)
            sum += x[static_cast<size_t>(t)] *
                   (t < s.past ? io.past_v(b, kv_head, t, d) : io.v(b, kv_head, t - s.past, d));
          write_real(context, io.y, s.y.at(b, h, i) + d, sum);
        }
      }
    }
    for (int64_t h = 0; h < s.kv_heads; ++h)
      for (int64_t t = 0; t < s.total(); ++t) {
        for (int64_t d = 0; d < s.size; ++d)
          write_real(context, io.present_k, s.present_k.at(b, h, t) + d,
                     t < s.past ? io.past_k(b, h, t, d) : io.k(b, h, t - s.past, d));
        for (int64_t d = 0; d < s.v_size; ++d)
          write_real(context, io.present_v, s.present_v.at(b, h, t) + d,
                     t < s.past ? io.past_v(b, h, t, d) : io.v(b, h, t - s.past, d));
      }
  }
}

}  // namespace sanderling
