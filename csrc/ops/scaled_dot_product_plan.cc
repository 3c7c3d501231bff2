// The fast path of attention: see scaled_dot_product.h.
#include <algorithm>
#include <limits>

#include "ops/activation_range.h"
#include "ops/attention_bias.h"
#include "ops/vector_functions.h"

namespace sanderling {
namespace {

// Columns that are packed together: a multiple of every kernel's panel.
constexpr int64_t kColumns = 256;
// Scores that are held at once: 256 KiB, within the second-level cache of small cores with what
// they are made of.
constexpr int64_t kScores = 65536;
// Rows of a kernel's product that make packing the keys cheap beside it, and that are the most at
// once.
constexpr int64_t kFewRows = 32, kMostRows = 64;
// Rows up to which plain loops over keys and values as they lie are faster: about what packing
// costs (measured with 1,000 keys of 64 numbers).
constexpr int64_t kDirectRows = 8;
// Keys whose values are added up before they join the sum of all, so that it stays accurate.
constexpr int64_t kSummedKeys = 256;
// Tasks per thread, so that late ones leave no thread waiting for long.
constexpr int64_t kTasksPerThread = 3;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

int64_t blocks(int64_t columns) { return (columns + kColumns - 1) / kColumns; }

// One task: some of the rows of the queries that share the keys of one head of one sequence. Row r
// is query r % queries of the r / queries-th of those heads.
struct Task {
  const AttentionPlan& plan;
  const AttentionPointers& p;
  std::byte* scratch;
  int64_t b, kv_head;

  const AttentionShape& s() const { return plan.shape; }
  float* floats(size_t offset) const { return reinterpret_cast<float*>(scratch + offset); }
  int64_t head(int64_t row) const {
    return kv_head * (s().heads / s().kv_heads) + row / s().queries;
  }
  int64_t query(int64_t row) const { return row % s().queries; }

  const float* k_row(int64_t t) const {
    return t < s().past ? p.past_k + s().past_k.at(b, kv_head, t)
                        : p.k + s().k.at(b, kv_head, t - s().past);
  }
  const float* v_row(int64_t t) const {
    return t < s().past ? p.past_v + s().past_v.at(b, kv_head, t)
                        : p.v + s().v.at(b, kv_head, t - s().past);
  }
  // What is added to a row that is new, not past.
  const float* bias_of(const float* bias, int64_t t, int64_t size) const {
    return bias && t >= s().past ? bias + kv_head * size : nullptr;
  }

  static void copy(const float* from, const float* bias, int64_t count, float* to) {
    std::copy_n(from, count, to);
    for (int64_t d = 0; bias && d < count; ++d) to[d] += bias[d];
  }

  void write_present() const {
    const int64_t size = s().size, v_size = s().v_size;
    for (int64_t t = 0; t < s().total(); ++t) {
      if (p.present_k)
        copy(k_row(t), bias_of(p.k_bias, t, size), size,
             p.present_k + s().present_k.at(b, kv_head, t));
      if (p.present_v)
        copy(v_row(t), bias_of(p.v_bias, t, v_size), v_size,
             p.present_v + s().present_v.at(b, kv_head, t));
    }
  }

  void pack_keys() const {
    const int64_t size = s().size;
    const bool in_a_row = s().past == 0 && s().k.row == size && !p.k_bias;
    for (int64_t first = 0; first < s().total(); first += kColumns) {
      const int64_t count = std::min(kColumns, s().total() - first);
      const float* rows = in_a_row ? k_row(first) : floats(plan.gathered);
      for (int64_t t = 0; !in_a_row && t < count; ++t)
        copy(k_row(first + t), bias_of(p.k_bias, first + t, size), size,
             floats(plan.gathered) + t * size);
      plan.kernels->pack_f32(
          rows, count, size,
          floats(plan.packed_k + static_cast<size_t>(first / kColumns) * plan.k_block));
    }
  }

  void pack_values() const {
    const int64_t total = s().total();
    float* const columns = floats(plan.gathered);
    for (int64_t first = 0; first < s().v_size; first += kColumns) {
      const int64_t count = std::min(kColumns, s().v_size - first);
      for (int64_t t = 0; t < total; ++t) {
        const float* const row = v_row(t) + first;
        const float* const bias = bias_of(p.v_bias, t, s().v_size);
        if (bias)
          for (int64_t d = 0; d < count; ++d) columns[d * total + t] = row[d] + bias[first + d];
        else
          for (int64_t d = 0; d < count; ++d) columns[d * total + t] = row[d];
      }
      plan.kernels->pack_f32(
          columns, count, total,
          floats(plan.packed_v + static_cast<size_t>(first / kColumns) * plan.v_block));
    }
  }

  void gather_queries(int64_t begin, int64_t rows) const {
    const int64_t size = s().size;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t h = head(begin + r);
      float* const to = floats(plan.q) + r * size;
      copy(p.q + s().q.at(b, h, query(begin + r)), p.q_bias ? p.q_bias + h * size : nullptr, size,
           to);
      for (int64_t d = 0; d < size; ++d) to[d] *= s().scale;
    }
  }

  void multiply(const float* a, int64_t rows, int64_t depth, size_t packed, size_t block,
                int64_t columns, float* c, int64_t c_stride) const {
    const ActivationRange all;
    for (int64_t first = 0; first < columns; first += kColumns)
      plan.kernels->gemm_f32({.rows = rows,
                              .columns = std::min(kColumns, c_stride - first),
                              .depth = depth,
                              .a = a,
                              .a_stride = depth,
                              .b = floats(packed + static_cast<size_t>(first / kColumns) * block),
                              .bias = nullptr,
                              .low = all.low,
                              .high = all.high,
                              .c = c + first,
                              .c_stride = c_stride});
  }

  // How many keys at most the queries of these rows see.
  int64_t visible(int64_t begin, int64_t rows) const {
    const bool all_scores = p.scores && s().scores_mode < 3;
    if (all_scores) return s().total();
    int64_t last = 0;
    for (int64_t r = begin; r < begin + rows; ++r)
      last = std::max(last, visible_keys(s(), p.inputs, b, query(r)).second);
    return last;
  }

  void write_scores(int64_t mode, int64_t row, const float* x) const {
    if (p.scores && mode == s().scores_mode)
      std::copy_n(
          x, s().total(),
          p.scores + ((b * s().heads + head(row)) * s().queries + query(row)) * s().total());
  }

  // Scores of the first `count` keys to probabilities of all.
  void normalise(int64_t row, float* x, int64_t count) const {
    std::fill(x + count, x + s().total(), 0.0f);
    write_scores(0, row, x);
    if (s().softcap > 0.0f) cap(x, count);
    write_scores(1, row, x);
    if (s().masks.empty() && !(p.scores && s().scores_mode == 2))
      keep_visible(row, x, count);
    else
      add_bias(row, x, count);
    write_scores(3, row, x);
  }

  void cap(float* x, int64_t count) const {
    for (int64_t t = 0; t < count; ++t) x[t] /= s().softcap;
    plan.kernels->tanh_f32(x, x, count);
    for (int64_t t = 0; t < count; ++t) x[t] *= s().softcap;
  }

  // Where nothing is added but -inf to keys at both ends.
  void keep_visible(int64_t row, float* x, int64_t count) const {
    const auto [first, last] = visible_keys(s(), p.inputs, b, query(row));
    std::fill(x, x + first, 0.0f);
    std::fill(x + last, x + count, 0.0f);
    soften(x + first, last - first);
  }

  // Probabilities of scores, as the reference has them: zeros where all are -inf. A row of NaN has
  // no largest number either.
  void soften(float* x, int64_t count) const {
    const float largest = plan.kernels->largest_f32(x, count);
    if (largest == -kInfinity && std::none_of(x, x + count, [](float v) { return v != v; }))
      std::fill_n(x, count, 0.0f);
    else
      plan.kernels->softmax_f32(x, x, count, largest);
  }

  void add_bias(int64_t row, float* x, int64_t count) const {
    float most_bias = 0.0f;
    if (s().has_bias()) {
      float* const bias = floats(plan.bias);
      fill_bias(s(), p.inputs, b, head(row), query(row), bias);
      most_bias = plan.kernels->largest_f32(bias, s().total());
      for (int64_t t = 0; t < count; ++t) x[t] += bias[t];
    }
    write_scores(2, row, x);
    if (most_bias == -kInfinity)
      std::fill_n(x, count, 0.0f);
    else
      soften(x, count);
  }

  // Scores of the first `count` keys without packing.
  void score_directly(int64_t rows, int64_t count) const {
    const int64_t size = s().size, total = s().total();
    const float* const q = floats(plan.q);
    const float* const bias = p.k_bias ? p.k_bias + kv_head * size : nullptr;
    float* const scores = floats(plan.scores);
    for (int64_t t = 0; t < count; ++t)
      for (int64_t r = 0; r < rows; ++r)
        scores[r * total + t] = dot_in_vectors(q + r * size, k_row(t), size);
    for (int64_t r = 0; bias && r < rows; ++r) {
      const float more = dot_in_vectors(q + r * size, bias, size);
      for (int64_t t = s().past; t < count; ++t) scores[r * total + t] += more;
    }
  }

  // Sums of the values of the first `count` keys by probabilities, without packing.
  void sum_directly(int64_t rows, int64_t count) const {
    const int64_t size = s().v_size, total = s().total();
    const float* const bias = p.v_bias ? p.v_bias + kv_head * size : nullptr;
    const float* const share = floats(plan.scores);
    float* const y = floats(plan.y);
    float* const part = y + rows * size;
    std::fill_n(y, rows * size, 0.0f);
    for (int64_t first = 0; first < count; first += kSummedKeys) {
      const int64_t last = std::min(count, first + kSummedKeys);
      std::fill_n(part, rows * size, 0.0f);
      for (int64_t t = first; t < last; ++t) {
        const float* const v = v_row(t);
        for (int64_t r = 0; r < rows; ++r) {
          const float factor = share[r * total + t];
          for (int64_t d = 0; d < size; ++d) part[r * size + d] += factor * v[d];
        }
      }
      for (int64_t i = 0; i < rows * size; ++i) y[i] += part[i];
    }
    for (int64_t r = 0; bias && r < rows; ++r) {
      const float* const new_share = share + r * total + s().past;
      const auto factor =
          static_cast<float>(sum_in_vectors(s().keys, [&](int64_t t) { return new_share[t]; }));
      for (int64_t d = 0; d < size; ++d) y[r * size + d] += factor * bias[d];
    }
  }

  void run_rows(int64_t begin, int64_t rows) const {
    const int64_t total = s().total(), count = visible(begin, rows);
    gather_queries(begin, rows);
    float* const scores = floats(plan.scores);
    if (plan.direct)
      score_directly(rows, count);
    else
      multiply(floats(plan.q), rows, s().size, plan.packed_k, plan.k_block, count, scores, total);
    for (int64_t r = 0; r < rows; ++r) normalise(begin + r, scores + r * total, count);
    float* const y = floats(plan.y);
    if (plan.direct)
      sum_directly(rows, count);
    else
      multiply(scores, rows, total, plan.packed_v, plan.v_block, s().v_size, y, s().v_size);
    for (int64_t r = 0; r < rows; ++r)
      std::copy_n(y + r * s().v_size, s().v_size,
                  p.y + s().y.at(b, head(begin + r), query(begin + r)));
  }
};

}  // namespace

AttentionPlan plan_attention(const KernelTable& kernels, int threads, AttentionShape shape) {
  AttentionPlan plan{};
  plan.kernels = &kernels;
  const int64_t total = shape.total();
  const int64_t rows = shape.heads / shape.kv_heads * shape.queries;
  const int64_t most = std::max<int64_t>(1, (rows + kFewRows - 1) / kFewRows);
  const int64_t wanted = threads == 1 ? 1 : kTasksPerThread * threads;
  const int64_t heads = shape.batch * shape.kv_heads;
  plan.pieces = std::clamp<int64_t>((wanted + heads - 1) / heads, 1, most);
  plan.piece_rows = (rows + plan.pieces - 1) / plan.pieces;
  plan.pieces = (rows + plan.piece_rows - 1) / plan.piece_rows;
  plan.row_block = std::min(std::clamp<int64_t>(kScores / total, 8, kMostRows), plan.piece_rows);
  size_t end = 0;
  const auto reserve = [&](size_t bytes) {
    const size_t at = end;
    end += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  };
  const auto floats = [](int64_t count) { return static_cast<size_t>(count) * sizeof(float); };
  const auto aligned = [](size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  };
  const int64_t keys = std::min(kColumns, total), columns = std::min(kColumns, shape.v_size);
  plan.k_block = aligned(kernels.packed_bytes_f32(keys, shape.size));
  plan.v_block = aligned(kernels.packed_bytes_f32(columns, total));
  plan.direct = rows <= kDirectRows;
  if (!plan.direct) {
    plan.packed_k = reserve(plan.k_block * static_cast<size_t>(blocks(total)));
    plan.packed_v = reserve(plan.v_block * static_cast<size_t>(blocks(shape.v_size)));
    plan.gathered = reserve(floats(std::max(keys * shape.size, columns * total)));
  }
  plan.q = reserve(floats(plan.row_block * shape.size));
  plan.scores = reserve(floats(plan.row_block * total));
  plan.bias = reserve(floats(total));
  plan.y = reserve(floats(2 * plan.row_block * shape.v_size));  // and the part of a direct sum
  plan.bytes = end;
  plan.shape = std::move(shape);
  return plan;
}

void run_attention(const AttentionPlan& plan, const AttentionPointers& pointers, Workers& workers,
                   std::byte* scratch, size_t stride) {
  const AttentionShape& s = plan.shape;
  const int64_t rows = s.heads / s.kv_heads * s.queries;
  workers.for_each(s.batch * s.kv_heads * plan.pieces, [&](int64_t i, int thread) {
    const int64_t piece = i % plan.pieces, head = i / plan.pieces;
    const Task task{plan, pointers, scratch + static_cast<size_t>(thread) * stride,
                    head / s.kv_heads, head % s.kv_heads};
    if (piece == 0) task.write_present();
    if (!plan.direct) {
      task.pack_keys();
      task.pack_values();
    }
    const int64_t begin = piece * plan.piece_rows, end = std::min(rows, begin + plan.piece_rows);
    for (int64_t row = begin; row < end; row += plan.row_block)
      task.run_rows(row, std::min(plan.row_block, end - row));
  });
}

}  // namespace sanderling
