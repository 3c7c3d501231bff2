#include <cmath>

#include "ops/com_microsoft/attention_masks.h"
#include "ops/real_numbers.h"

namespace sanderling {
namespace {

constexpr size_t kQuery = 0, kKey = 1, kValue = 2, kBias = 3, kMask = 4, kAttentionBias = 5,
                 kPastK = 6, kPastV = 7, kPastLength = 8, kIndirection = 9;
constexpr size_t kY = 0, kPresentK = 1, kPresentV = 2, kScores = 3;

// Where q, k and v are: which inputs, and in them which rows.
struct Layout {
  AttentionShape shape;
  size_t q = kQuery, k = kKey, v = kValue;  // inputs
};

// Queries, keys and values of each head side by side in one input: [batch, rows, heads, parts,
// size]; the part-th.
HeadRows part_of(int64_t heads, int64_t rows, int64_t parts, int64_t size, int64_t part) {
  return {.offset = part * size,
          .batch = rows * heads * parts * size,
          .head = parts * size,
          .row = heads * parts * size};
}

[[noreturn]] void bad_shape(const InferContext& context, size_t input, const char* name,
                            const char* expected) {
  context.error(name, " has shape ", context.input(input).shape.to_string(), ", expected ",
                expected);
}

// Keys and values as [batch, keys, heads * size] or [batch, heads, keys, size].
void place_keys_and_values(const InferContext& context, AttentionShape& s) {
  const Shape& k = context.input(kKey).shape;
  const Shape& v = context.input(kValue).shape;
  if (k.rank() == 4) {
    if (k != checked_shape(context, {s.batch, s.heads, k[2], s.size}) || v.rank() != 4 ||
        v != checked_shape(context, {s.batch, s.heads, k[2], v[3]}))
      bad_shape(context, kKey, "key", "[batch, heads, keys, head size], and value the same");
    s.keys = k[2];
    s.v_size = v[3];
    s.k = heads_first(s.heads, s.keys, s.size);
    s.v = heads_first(s.heads, s.keys, s.v_size);
    return;
  }
  if (k.rank() != 3 || k[0] != s.batch || k[2] != s.heads * s.size)
    bad_shape(context, kKey, "key", "[batch, keys, hidden size of query]");
  if (v.rank() != 3 || v[0] != s.batch || v[1] != k[1] || v[2] % s.heads != 0)
    bad_shape(context, kValue, "value", "[batch, keys, a multiple of num_heads]");
  s.keys = k[1];
  s.v_size = v[2] / s.heads;
  s.k = rows_first(s.heads, s.keys, s.size);
  s.v = rows_first(s.heads, s.keys, s.v_size);
}

Layout place(const InferContext& context) {
  const Shape& q = context.input(kQuery).shape;
  const int64_t heads = heads_of_microsoft(context);
  const bool has_key = context.has_input(kKey), has_value = context.has_input(kValue);
  Layout layout;
  AttentionShape& s = layout.shape;
  s = {.batch = 0,
       .heads = heads,
       .kv_heads = heads,
       .queries = 0,
       .past = 0,
       .keys = 0,
       .size = 0,
       .v_size = 0,
       .filter = filter_of_microsoft(context)};
  if (!has_key) {
    if (q.rank() != 5 || q[2] != heads || q[3] != 3 || has_value)
      bad_shape(context, kQuery, "query",
                "[batch, rows, heads, 3, head size] where key is left out");
    s.batch = q[0];
    s.queries = s.keys = q[1];
    s.size = s.v_size = q[4];
    s.q = part_of(heads, s.keys, 3, s.size, 0);
    s.k = part_of(heads, s.keys, 3, s.size, 1);
    s.v = part_of(heads, s.keys, 3, s.size, 2);
    layout.k = layout.v = kQuery;
    return layout;
  }
  if (q.rank() != 3 || q[2] % heads != 0)
    bad_shape(context, kQuery, "query", "[batch, rows, a multiple of num_heads]");
  s.batch = q[0];
  s.queries = q[1];
  s.size = q[2] / heads;
  s.q = rows_first(heads, s.queries, s.size);
  if (has_value) {
    place_keys_and_values(context, s);
    return layout;
  }
  const Shape& k = context.input(kKey).shape;
  if (k.rank() != 5 || k[0] != s.batch || k[2] != heads || k[3] != 2 || k[4] != s.size)
    bad_shape(context, kKey, "key", "[batch, keys, heads, 2, head size] where value is left out");
  s.keys = k[1];
  s.v_size = s.size;
  s.k = part_of(heads, s.keys, 2, s.size, 0);
  s.v = part_of(heads, s.keys, 2, s.size, 1);
  layout.v = kKey;
  return layout;
}

void place_past(const InferContext& context, AttentionShape& s) {
  if (context.has_input(kPastK) != context.has_input(kPastV))
    context.error("past_key and past_value must be given together");
  if (context.has_input(kPastK)) {
    const Shape& k = context.input(kPastK).shape;
    s.past = k.rank() == 4 ? k[2] : 0;
    if (k != checked_shape(context, {s.batch, s.heads, s.past, s.size}))
      bad_shape(context, kPastK, "past_key", "[batch, heads, past, head size]");
    if (context.input(kPastV).shape != checked_shape(context, {s.batch, s.heads, s.past, s.v_size}))
      bad_shape(context, kPastV, "past_value", "[batch, heads, past, head size of value]");
  }
  s.past_k = heads_first(s.heads, s.past, s.size);
  s.past_v = heads_first(s.heads, s.past, s.v_size);
  s.present_k = heads_first(s.heads, s.total(), s.size);
  s.present_v = heads_first(s.heads, s.total(), s.v_size);
}

Layout layout_of(const InferContext& context) {
  Layout layout = place(context);
  AttentionShape& s = layout.shape;
  place_past(context, s);
  s.y = rows_first(s.heads, s.queries, s.v_size);
  // One query sees all, however many keys there are.
  s.causal = context.attributes().integer("unidirectional", 0) != 0 && s.queries > 1;
  s.scale = scale_of_microsoft(context, s.size);
  s.scores_mode = 2;  // with all that is added
  add_microsoft_masks(context, s, kMask, kAttentionBias);
  return layout;
}

void infer(InferContext& context) {
  for (size_t i : {kQuery, kKey, kValue, kBias, kAttentionBias, kPastK, kPastV})
    if (context.has_input(i)) {
      require_dtype(context, i, {DType::kFloat32});
      require_same_dtype(context, kQuery, i);
    }
  for (size_t i : {kPastLength, kIndirection})
    if (context.has_input(i))
      context.unsupported("input ", i,
                          " is for caches that are written in place, which the native engine does "
                          "not do. Export the model with past and present of their own");
  const AttentionShape s = layout_of(context).shape;
  const int64_t columns = s.heads * (2 * s.size + s.v_size);
  if (context.has_input(kBias) && context.input(kBias).shape != Shape{columns})
    context.error("bias has shape ", context.input(kBias).shape.to_string(), ", expected [",
                  columns, "], for query, key and value");
  const DType dtype = context.input(kQuery).dtype;
  context.set_output(kY, dtype, checked_shape(context, {s.batch, s.queries, s.heads * s.v_size}));
  context.set_output(kPresentK, dtype,
                     checked_shape(context, {s.batch, s.heads, s.total(), s.size}));
  context.set_output(kPresentV, dtype,
                     checked_shape(context, {s.batch, s.heads, s.total(), s.v_size}));
  context.set_output(kScores, dtype,
                     checked_shape(context, {s.batch, s.heads, s.queries, s.total()}));
}

// Where the biases of q, k and v start in their input.
struct BiasOffsets {
  int64_t k, v;
};
BiasOffsets bias_offsets(const AttentionShape& s) {
  return {s.heads * s.size, 2 * s.heads * s.size};
}

void reference(const ReferenceContext& context) {
  const Layout layout = layout_of(context);
  const AttentionShape& s = layout.shape;
  const RealNumbers bias(context, kBias);
  const auto source = [&](size_t input, const HeadRows& rows, int64_t start, int64_t size) {
    return [=, x = RealNumbers(context, input)](int64_t b, int64_t h, int64_t i, int64_t d) {
      return x[rows.at(b, h, i) + d] + bias[start + h * size + d];
    };
  };
  const auto past = [&](size_t input, const HeadRows& rows) {
    return [rows, x = RealNumbers(context, input)](int64_t b, int64_t h, int64_t i, int64_t d) {
      return x[rows.at(b, h, i) + d];
    };
  };
  const BiasOffsets starts = bias_offsets(s);
  reference_attention(context, s,
                      {.q = source(layout.q, s.q, 0, s.size),
                       .k = source(layout.k, s.k, starts.k, s.size),
                       .v = source(layout.v, s.v, starts.v, s.v_size),
                       .past_k = past(kPastK, s.past_k),
                       .past_v = past(kPastV, s.past_v),
                       .y = kY,
                       .present_k = kPresentK,
                       .present_v = kPresentV,
                       .scores = kScores});
}

struct Step {
  AttentionPlan plan;
  Layout layout;
  size_t inputs, outputs;
};

void run(const Step& step, const StepArgs& args) {
  const auto in = [&](size_t i) {
    return i < step.inputs ? static_cast<const float*>(args.inputs[i]) : nullptr;
  };
  const auto out = [&](size_t i) {
    return i < step.outputs ? static_cast<float*>(args.outputs[i]) : nullptr;
  };
  const AttentionShape& s = step.plan.shape;
  const float* const bias = in(kBias);
  const BiasOffsets starts = bias_offsets(s);
  run_attention(step.plan,
                {.q = in(step.layout.q),
                 .k = in(step.layout.k),
                 .v = in(step.layout.v),
                 .past_k = in(kPastK),
                 .past_v = in(kPastV),
                 .q_bias = bias,
                 .k_bias = bias ? bias + starts.k : nullptr,
                 .v_bias = bias ? bias + starts.v : nullptr,
                 .y = out(kY),
                 .present_k = out(kPresentK),
                 .present_v = out(kPresentV),
                 .scores = out(kScores),
                 .inputs = args.inputs},
                *args.workers, args.scratch, args.scratch_stride);
}

void plan(PlanContext& context) {
  const Layout layout = layout_of(context);
  const AttentionShape& s = layout.shape;
  for (int64_t extent : {s.batch, s.queries, s.keys, s.size, s.v_size})
    if (extent == 0) return;
  if (!context.has_output(kY)) return;
  Step step{plan_attention(context.kernels(), context.threads(), s), layout, context.inputs(),
            context.outputs()};
  context.scratch(step.plan.bytes);
  context.emit(run, std::move(step));
}

int64_t macs(const InferContext& context, const TensorType& /*output*/) {
  const AttentionShape s = layout_of(context).shape;
  return s.batch * s.heads * s.queries * s.total() * (s.size + s.v_size);
}

SANDERLING_OPERATOR(multi_head_attention)({.name = "com.microsoft.MultiHeadAttention",
                                           .since_opset = 1,
                                           .min_inputs = 1,
                                           .max_inputs = 10,
                                           .max_outputs = 4,
                                           .infer = infer,
                                           .reference = reference,
                                           .plan = plan,
                                           .plans_empty_inputs = true,
                                           .macs = macs});

}  // namespace
}  // namespace sanderling
