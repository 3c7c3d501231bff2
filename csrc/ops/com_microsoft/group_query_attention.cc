// Attention of decoders with a cache. Each sequence has its own number of keys; what is computed
// comes in three parts, which the reference and the step share but for the last: where all is
// (GroupQuery), rotated queries and the caches with the new rows in place (prepare), attention.
#include <array>
#include <cmath>

#include "ops/attention_bias.h"
#include "ops/com_microsoft/attention_masks.h"
#include "ops/real_numbers.h"
#include "ops/rotary.h"

namespace sanderling {
namespace {

constexpr size_t kQuery = 0, kKey = 1, kValue = 2, kPastK = 3, kPastV = 4, kLastKeys = 5,
                 kTotal = 6, kCosines = 7, kSines = 8, kPositions = 9, kBias = 10, kInputs = 14;
constexpr size_t kY = 0, kPresentK = 1, kPresentV = 2, kScores = 3;
constexpr size_t kNotThere = static_cast<size_t>(-1);

struct GroupQuery {
  std::string node;      // "[com.microsoft.GroupQueryAttention] node 'g'", for messages
  AttentionShape shape;  // of the attention over the caches; its `lengths` is input kInputs
  int64_t past = 0;      // rows of the caches before
  bool prompt = false;   // the rows are the first of each sequence
  bool packed = false;   // keys and values are columns of query
  HeadRows k{}, v{};     // the new rows
  Rotary rotary{};       // `rotated` is 0 for none
  int64_t angles = 0;    // rows of the rotary caches
  bool has_positions = false;

  int64_t rows() const { return shape.queries; }
};

// A scalar that shapes follow from.
int64_t total_of(const InferContext& context) {
  require_dtype(context, kTotal, {DType::kInt32});  // which also fails where it is left out
  require_one_element(context, kTotal, "total_sequence_length");
  return context.constant(kTotal).data<int32_t>()[0];
}

void place_rows(const InferContext& context, GroupQuery& g) {
  AttentionShape& s = g.shape;
  const Shape& q = context.input(kQuery).shape;
  g.packed = !context.has_input(kKey);
  if (g.packed == context.has_input(kValue)) context.error("key and value must be given together");
  const int64_t all = g.packed ? s.heads + 2 * s.kv_heads : s.heads;
  if (q.rank() != 3 || q[2] == 0 || q[2] % all != 0)
    context.error("query has shape ", q.to_string(), ", expected [batch, rows, a multiple of ", all,
                  "]");
  s.batch = q[0];
  s.queries = q[1];
  s.size = s.v_size = q[2] / all;
  s.q = rows_first(all, s.queries, s.size);
  if (g.packed) {
    g.k = g.v = s.q;
    g.k.offset = s.heads * s.size;
    g.v.offset = g.k.offset + s.kv_heads * s.size;
    return;
  }
  const Shape kv = checked_shape(context, {s.batch, s.queries, s.kv_heads * s.size});
  for (size_t i : {kKey, kValue})
    if (context.input(i).shape != kv)
      context.error(i == kKey ? "key" : "value", " has shape ", context.input(i).shape.to_string(),
                    ", expected ", kv.to_string());
  g.k = g.v = rows_first(s.kv_heads, s.queries, s.size);
}

void place_caches(const InferContext& context, GroupQuery& g) {
  AttentionShape& s = g.shape;
  if (context.has_input(kPastK) != context.has_input(kPastV))
    context.error("past_key and past_value must be given together");
  if (context.has_input(kPastK)) {
    const Shape& k = context.input(kPastK).shape;
    g.past = k.rank() == 4 ? k[2] : 0;
    if (k != checked_shape(context, {s.batch, s.kv_heads, g.past, s.size}) ||
        context.input(kPastV).shape != k)
      context.error("past_key has shape ", k.to_string(), " and past_value ",
                    context.input(kPastV).shape.to_string(),
                    ", expected [batch, kv_num_heads, past, head size]");
  }
  const int64_t total = total_of(context);
  if (total < s.queries || total > g.past + s.queries)
    context.error("total_sequence_length is ", total, ", expected ", s.queries, " to ",
                  g.past + s.queries, ": past and new rows");
  g.prompt = total == s.queries;
  s.keys = std::max(total, g.past);
  s.k = s.v = heads_first(s.kv_heads, s.keys, s.size);
  s.past_k = s.past_v = heads_first(s.kv_heads, g.past, s.size);
  s.y = rows_first(s.heads, s.queries, s.size);
}

void place_rotary(const InferContext& context, GroupQuery& g) {
  const AttentionShape& s = g.shape;
  g.rotary = {.batch = s.batch,
              .heads = 1,
              .rows = 1,
              .size = s.size,
              .rotated = 0,
              .interleaved = context.attributes().integer("rotary_interleaved", 0) != 0,
              .at = {},
              .cosines = kCosines,
              .sines = kSines};
  if (context.attributes().integer("do_rotary", 0) == 0) return;
  const Shape& cosines = context.input(kCosines).shape;
  if (cosines.rank() != 2 || context.input(kSines).shape != cosines || 2 * cosines[1] > s.size)
    context.error("cos_cache has shape ", cosines.to_string(), " and sin_cache ",
                  context.input(kSines).shape.to_string(),
                  ", expected the same of rank 2 with at most ", s.size / 2, " columns");
  g.rotary.rotated = 2 * cosines[1];
  g.angles = cosines[0];
  g.has_positions = context.has_input(kPositions);
  if (!g.has_positions) return;
  require_dtype(context, kPositions, {DType::kInt64});
  if (context.input(kPositions).shape != Shape{s.batch, s.queries})
    context.error("position_ids has shape ", context.input(kPositions).shape.to_string(),
                  ", expected [", s.batch, ", ", s.queries, "]");
}

GroupQuery group_query(const InferContext& context) {
  const int64_t heads = heads_of_microsoft(context);
  const int64_t kv_heads = context.attributes().integer("kv_num_heads", 0);
  if (kv_heads < 1 || heads % kv_heads != 0)
    context.error("kv_num_heads is ", kv_heads, ", expected a divisor of num_heads ", heads);
  GroupQuery g{.node = cat("[", context.node().op, "] node '", context.node().name, "'"),
               .shape = {.batch = 0,
                         .heads = heads,
                         .kv_heads = kv_heads,
                         .queries = 0,
                         .past = 0,
                         .keys = 0,
                         .size = 0,
                         .v_size = 0,
                         .filter = -std::numeric_limits<float>::infinity()}};
  AttentionShape& s = g.shape;
  place_rows(context, g);
  place_caches(context, g);
  place_rotary(context, g);
  s.scale = scale_of_microsoft(context, s.size);
  s.softcap = context.attributes().number("softcap", 0.0f);
  s.causal = true;
  // The window counts the query's own place.
  const int64_t window = context.attributes().integer("local_window_size", -1);
  if (window > 0) s.left = window - 1;
  s.lengths = kInputs;
  if (context.has_input(kBias)) s.masks.push_back(mask_of(context, kBias, s, /*may_pad=*/false));
  return g;
}

void refuse_variants(const InferContext& context) {
  if (context.attributes().integer("smooth_softmax", 0) > 0)
    context.unsupported("smooth_softmax is set, which the native engine lacks");
  for (const char* name : {"k_quant_type", "v_quant_type"})
    if (const std::string type = context.attributes().text(name, "NONE"); type != "NONE")
      context.unsupported(name, " is ", type, "; the native engine has caches of float32 alone");
  for (size_t i = kBias + 1; i < kInputs; ++i)
    if (context.has_input(i))
      context.unsupported("input ", i,
                          " (head_sink or scales of a quantized cache) is given, which the native "
                          "engine lacks. Use the onnxruntime backend");
  if (context.has_output(kScores))
    context.unsupported("the scores are wanted, which the native engine lacks");
}

void infer(InferContext& context) {
  refuse_variants(context);
  for (size_t i : {kQuery, kKey, kValue, kPastK, kPastV, kCosines, kSines, kBias})
    if (context.has_input(i)) require_dtype(context, i, {DType::kFloat32});
  const GroupQuery g = group_query(context);
  const AttentionShape& s = g.shape;
  require_dtype(context, kLastKeys, {DType::kInt32});
  if (context.input(kLastKeys).shape.elements() != s.batch)
    context.error("seqlens_k has shape ", context.input(kLastKeys).shape.to_string(),
                  ", expected [", s.batch, "]");
  context.set_output(kY, DType::kFloat32,
                     checked_shape(context, {s.batch, s.queries, s.heads * s.size}));
  for (size_t i : {kPresentK, kPresentV})
    context.set_output(i, DType::kFloat32,
                       checked_shape(context, {s.batch, s.kv_heads, s.keys, s.size}));
}

// What is read, and what is made of it before attention.
struct Buffers {
  const float *q, *k, *v, *past_k, *past_v, *cosines, *sines;
  const int32_t* last_keys;
  const int64_t* positions;
  float *rotated_q, *present_k, *present_v;
  int64_t* lengths;  // keys of each sequence
};

// Where row i of sequence b stands. Of a prompt only the first number counts, as the operator says.
int64_t place_of(const GroupQuery& g, const Buffers& p, int64_t b, int64_t i) {
  if (!g.has_positions) return p.lengths[b] - g.rows() + i;
  if (!g.prompt) return p.positions[b * g.rows() + i];
  return p.positions[0] < g.angles ? p.positions[0] + i : p.positions[0];  // the sum may overflow
}

// Fails as data does: a step may throw before it gives tasks to workers.
void read_lengths(const GroupQuery& g, const Buffers& p) {
  for (int64_t b = 0; b < g.shape.batch; ++b) {
    const int64_t length = int64_t{p.last_keys[b]} + 1, before = length - g.rows();
    if (!g.prompt && (before < 0 || before > g.past || length > g.shape.keys))
      fail(ErrorCode::kModel, g.node, ": seqlens_k has ", length - 1, " for sequence ", b,
           ", expected ", g.rows() - 1, " to ", std::min(g.past + g.rows(), g.shape.keys) - 1,
           ": one less than its keys");
    p.lengths[b] = g.prompt ? g.rows() : length;
    if (g.rotary.rotated == 0) continue;
    for (int64_t i = 0; i < g.rows(); ++i) {
      const int64_t at = place_of(g, p, b, i);
      if (at < 0 || at >= g.angles)
        fail(ErrorCode::kModel, g.node, ": position ", at, " is outside [0, ", g.angles,
             "), the rows of the caches of angles");
    }
  }
}

void rotate(const GroupQuery& g, const Buffers& p, int64_t b, int64_t i, const float* x, float* y) {
  if (g.rotary.rotated == 0) {
    std::copy_n(x, g.shape.size, y);
    return;
  }
  const int64_t angles = place_of(g, p, b, i) * (g.rotary.rotated / 2);
  rotate_head(g.rotary, x, p.cosines + angles, p.sines + angles, y);
}

// One head of queries or of keys and values of one sequence. Rows of the caches after the sequence
// are zeros.
void prepare_head(const GroupQuery& g, const Buffers& p, int64_t b, int64_t h) {
  const AttentionShape& s = g.shape;
  if (h < s.heads) {
    const HeadRows to = rows_first(s.heads, s.queries, s.size);
    for (int64_t i = 0; i < s.queries; ++i)
      rotate(g, p, b, i, p.q + s.q.at(b, h, i), p.rotated_q + to.at(b, h, i));
    return;
  }
  h -= s.heads;
  const int64_t before = p.lengths[b] - g.rows();
  float* const k = p.present_k + s.k.at(b, h, 0);
  float* const v = p.present_v + s.v.at(b, h, 0);
  if (before > 0) {
    std::copy_n(p.past_k + s.past_k.at(b, h, 0), before * s.size, k);
    std::copy_n(p.past_v + s.past_v.at(b, h, 0), before * s.size, v);
  }
  for (int64_t i = 0; i < g.rows(); ++i) {
    rotate(g, p, b, i, p.k + g.k.at(b, h, i), k + (before + i) * s.size);
    std::copy_n(p.v + g.v.at(b, h, i), s.size, v + (before + i) * s.size);
  }
  std::fill(k + p.lengths[b] * s.size, k + s.keys * s.size, 0.0f);
  std::fill(v + p.lengths[b] * s.size, v + s.keys * s.size, 0.0f);
}

void prepare(const GroupQuery& g, const Buffers& p, Workers& workers) {
  const int64_t heads = g.shape.heads + g.shape.kv_heads;
  workers.for_each(g.shape.batch * heads, [&](int64_t task, int /*thread*/) {
    prepare_head(g, p, task / heads, task % heads);
  });
}

// `in` gives an input's elements, nullptr where it is left out.
template <typename In>
Buffers buffers_of(const GroupQuery& g, const In& in) {
  const auto floats = [&](size_t i) { return static_cast<const float*>(in(i)); };
  const float* const q = floats(kQuery);
  return {.q = q,
          .k = g.packed ? q : floats(kKey),
          .v = g.packed ? q : floats(kValue),
          .past_k = floats(kPastK),
          .past_v = floats(kPastV),
          .cosines = floats(kCosines),
          .sines = floats(kSines),
          .last_keys = static_cast<const int32_t*>(in(kLastKeys)),
          .positions = static_cast<const int64_t*>(in(kPositions)),
          .rotated_q = nullptr,
          .present_k = nullptr,
          .present_v = nullptr,
          .lengths = nullptr};
}

void reference(const ReferenceContext& context) {
  const GroupQuery g = group_query(context);
  const AttentionShape& s = g.shape;
  const auto floats = [](int64_t count) { return std::vector<float>(static_cast<size_t>(count)); };
  std::vector<float> q = floats(s.batch * s.queries * s.heads * s.size);
  std::vector<float> k = floats(s.batch * s.kv_heads * s.keys * s.size), v = k;
  std::vector<int64_t> lengths(static_cast<size_t>(s.batch));
  Buffers p = buffers_of(g, [&](size_t i) { return context.raw_input(i); });
  p.rotated_q = q.data();
  p.present_k = k.data();
  p.present_v = v.data();
  p.lengths = lengths.data();
  read_lengths(g, p);
  InlineWorkers alone;
  prepare(g, p, alone);
  if (context.has_output(kPresentK)) std::copy(k.begin(), k.end(), context.out<float>(kPresentK));
  if (context.has_output(kPresentV)) std::copy(v.begin(), v.end(), context.out<float>(kPresentV));
  AttentionShape over = s;
  over.q = rows_first(s.heads, s.queries, s.size);
  const auto source = [](const std::vector<float>& x, const HeadRows& rows) {
    return [&x, rows](int64_t b, int64_t h, int64_t i, int64_t d) {
      return static_cast<double>(x[static_cast<size_t>(rows.at(b, h, i) + d)]);
    };
  };
  reference_attention(context, over,
                      {.q = source(q, over.q),
                       .k = source(k, over.k),
                       .v = source(v, over.v),
                       .past_k = {},
                       .past_v = {},
                       .y = kY,
                       .present_k = kNotThere,
                       .present_v = kNotThere,
                       .scores = kNotThere,
                       .lengths = lengths.data()});
}

struct Step {
  AttentionPlan plan;
  GroupQuery group;
  size_t inputs;
  // In what all threads have for scratch: rotated queries, lengths, then each thread's own.
  size_t lengths_at, threads_at, thread_bytes;
};

void run(const Step& step, const StepArgs& args) {
  const GroupQuery& g = step.group;
  std::array<void*, kInputs + 1> inputs{};
  std::copy_n(args.inputs, step.inputs, inputs.begin());
  Buffers p = buffers_of(g, [&](size_t i) -> const void* { return inputs[i]; });
  p.rotated_q = reinterpret_cast<float*>(args.scratch);
  p.present_k = static_cast<float*>(args.outputs[kPresentK]);
  p.present_v = static_cast<float*>(args.outputs[kPresentV]);
  p.lengths = reinterpret_cast<int64_t*>(args.scratch + step.lengths_at);
  inputs[kInputs] = p.lengths;
  read_lengths(g, p);
  prepare(g, p, *args.workers);
  run_attention(step.plan,
                {.q = p.rotated_q,
                 .k = p.present_k,
                 .v = p.present_v,
                 .past_k = nullptr,
                 .past_v = nullptr,
                 .q_bias = nullptr,
                 .k_bias = nullptr,
                 .v_bias = nullptr,
                 .y = static_cast<float*>(args.outputs[kY]),
                 .present_k = nullptr,
                 .present_v = nullptr,
                 .scores = nullptr,
                 .inputs = inputs.data()},
                *args.workers, args.scratch + step.threads_at, step.thread_bytes);
}

void plan(PlanContext& context) {
  const GroupQuery g = group_query(context);
  AttentionShape s = g.shape;
  if (s.batch == 0 || s.queries == 0) return;
  for (size_t i : {kY, kPresentK, kPresentV})
    if (!context.has_output(i)) return;
  s.q = rows_first(s.heads, s.queries, s.size);
  const auto aligned = [](size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  };
  Step step{.plan = plan_attention(context.kernels(), context.threads(), s),
            .group = g,
            .inputs = std::min(context.inputs(), kInputs),
            .lengths_at = 0,
            .threads_at = 0,
            .thread_bytes = 0};
  const size_t query_bytes =
      static_cast<size_t>(s.batch * s.queries * s.heads * s.size) * sizeof(float);
  step.lengths_at = aligned(query_bytes);
  step.threads_at = step.lengths_at + aligned(static_cast<size_t>(s.batch) * sizeof(int64_t));
  step.thread_bytes = aligned(step.plan.bytes);
  const auto threads = static_cast<size_t>(context.threads());
  context.scratch(step.thread_bytes + (step.threads_at + threads - 1) / threads);
  context.emit(run, std::move(step));
}

int64_t macs(const InferContext& context, const TensorType& /*output*/) {
  const AttentionShape s = group_query(context).shape;
  return 2 * s.batch * s.heads * s.queries * s.keys * s.size;
}

SANDERLING_OPERATOR(group_query_attention)({.name = "com.microsoft.GroupQueryAttention",
                                            .since_opset = 1,
                                            .min_inputs = 1,
                                            .max_inputs = kInputs,
                                            .max_outputs = 4,
                                            .infer = infer,
                                            .reference = reference,
                                            .plan = plan,
                                            .plans_empty_inputs = true,
                                            .macs = macs});

}  // namespace
}  // namespace sanderling
