// Attention, softmax(q k' * scale + bias) v per head, as ONNX's Attention and ONNX Runtime's
// Attention and MultiHeadAttention share it; they differ in where their rows are.
#pragma once

#include <functional>
#include <vector>

#include "kernels/table.h"
#include "ops/node_checks.h"

namespace sanderling {

// Heads that an attribute may ask for: far above any model's, and so few that no product of them
// and of extents overflows.
constexpr int64_t kMostHeads = 65536;

// Where the vector of one head at one place of a sequence starts, in elements.
struct HeadRows {
  int64_t offset = 0, batch = 0, head = 0, row = 0;
  int64_t at(int64_t b, int64_t h, int64_t i) const {
    return offset + b * batch + h * head + i * row;
  }
};
// [batch, heads, rows, size]
HeadRows heads_first(int64_t heads, int64_t rows, int64_t size);
// [batch, rows, heads, size]
HeadRows rows_first(int64_t heads, int64_t rows, int64_t size);

// What an input adds to the scores.
struct AttentionMask {
  enum class Kind : uint8_t {
    kAdd,            // its numbers
    kAllow,          // bools: nothing where true, -inf where false
    kKeep,           // int32: nothing where positive, `filter` elsewhere
    kEnds,           // int32 per sequence: `filter` from that key on
    kEndsAndStarts,  // the same, then per sequence the first key that has no `filter`
  };
  Kind kind;
  size_t input;
  DType dtype;
  int64_t batch, head, row, column;  // strides; 0 repeats
  int64_t columns;                   // keys from here on get -inf
};

struct AttentionShape {
  int64_t batch, heads, kv_heads, queries, past, keys, size, v_size;
  HeadRows q{}, k{}, v{}, past_k{}, past_v{}, y{}, present_k{}, present_v{};
  float scale = 1.0f, softcap = 0.0f;
  bool causal = false;
  int64_t left = -1, right = -1;  // keys that are seen beside a query's own place; -1: all
  std::vector<AttentionMask> masks{};
  size_t lengths = static_cast<size_t>(-1);  // int64 input: keys of each sequence; none: all
  // What masks add where they forbid. ONNX: -inf, and a query that may see no key gives zeros. ONNX
  // Runtime's operators have a finite one, which a large score may outweigh.
  float filter;
  int64_t scores_mode = 0;  // ONNX's qk_matmul_output_mode

  int64_t total() const { return past + keys; }
  bool has_bias() const {
    return causal || left >= 0 || right >= 0 || !masks.empty() ||
           lengths != static_cast<size_t>(-1);
  }
};

// Whether an input broadcasts to [batch, heads, queries, total]; else fails. A last axis that is
// shorter is padded, if `may_pad`.
AttentionMask mask_of(const InferContext& context, size_t input, const AttentionShape& s,
                      bool may_pad);

// The sources and sinks of a reference: of head h, row i, element d. Sinks that are not wanted are
// empty.
struct ReferenceAttention {
  using Source = std::function<double(int64_t b, int64_t h, int64_t i, int64_t d)>;
  Source q, k, v, past_k, past_v;
  size_t y = 0, present_k, present_v, scores;  // outputs
  const int64_t* lengths = nullptr;            // those of s.lengths where that is no input
};
void reference_attention(const ReferenceContext& context, const AttentionShape& s,
                         const ReferenceAttention& io);

struct AttentionPlan {
  AttentionShape shape;
  const KernelTable* kernels;
  int64_t pieces, piece_rows;  // of the rows of all queries that share keys; one task each
  int64_t row_block;           // rows whose scores are computed at once
  bool direct;                 // so few rows that packing keys and values would cost more
  // In the scratch of a task, which is `bytes` large.
  size_t packed_k, packed_v, gathered, q, scores, bias, y, bytes;
  size_t k_block, v_block;  // bytes of one packed block of columns
};
AttentionPlan plan_attention(const KernelTable& kernels, int threads, AttentionShape shape);

struct AttentionPointers {
  const float *q, *k, *v, *past_k, *past_v;
  const float *q_bias, *k_bias, *v_bias;  // [heads][size], added to q, k and v; or nullptr
  float *y, *present_k, *present_v, *scores;
  void* const* inputs;  // of the node, for masks
};
// Task memory starts at `scratch`, `stride` apart per thread.
void run_attention(const AttentionPlan& plan, const AttentionPointers& pointers, Workers& workers,
                   std::byte* scratch, size_t stride);

}  // namespace sanderling
