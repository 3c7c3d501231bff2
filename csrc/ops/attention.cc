#include <cmath>
#include <limits>

#include "ops/real_numbers.h"
#include "ops/scaled_dot_product.h"

namespace sanderling {
namespace {

constexpr size_t kQ = 0, kK = 1, kV = 2, kMask = 3, kPastK = 4, kPastV = 5, kLengths = 6;
constexpr size_t kY = 0, kPresentK = 1, kPresentV = 2, kScores = 3;

// Heads of an input of rank 3, by an attribute; of rank 4, by its shape.
int64_t heads_of(const InferContext& context, size_t input, const char* attribute) {
  const Shape& shape = context.input(input).shape;
  if (shape.rank() == 4) return shape[1];
  const int64_t heads = context.attributes().integer(attribute, 0);
  if (heads < 1 || heads > kMostHeads || shape[2] % heads != 0)
    context.error(attribute, " is ", heads, ", input ", input, " has shape ", shape.to_string(),
                  "; it must be a divisor of the last axis");
  return heads;
}

void check_ranks(const InferContext& context) {
  const Shape& q = context.input(kQ).shape;
  const Shape& k = context.input(kK).shape;
  const Shape& v = context.input(kV).shape;
  if ((q.rank() != 3 && q.rank() != 4) || k.rank() != q.rank() || v.rank() != q.rank())
    context.error("q has shape ", q.to_string(), ", k ", k.to_string(), " and v ", v.to_string(),
                  ", expected rank 3 or 4 of each");
}

// [batch, heads, rows, size] of q, k or v.
struct Extents {
  int64_t batch, heads, rows, size;
  bool heads_first;
  HeadRows strides() const {
    return heads_first ? sanderling::heads_first(heads, rows, size) : rows_first(heads, rows, size);
  }
};

Extents extents_of(const InferContext& context, size_t input) {
  const Shape& shape = context.input(input).shape;
  const int64_t heads = heads_of(context, input, input == kQ ? "q_num_heads" : "kv_num_heads");
  if (shape.rank() == 4) return {shape[0], heads, shape[2], shape[3], true};
  return {shape[0], heads, shape[1], shape[2] / heads, false};
}

void check_past(const InferContext& context, AttentionShape& s) {
  const bool has_past = context.has_input(kPastK);
  if (has_past != context.has_input(kPastV))
    context.error("past_key and past_value must be given together");
  if (!has_past) return;
  if (context.has_input(kLengths))
    context.error(
        "nonpad_kv_seqlen and past_key are both given; a cache is either within or without");
  const Shape& k = context.input(kPastK).shape;
  const Shape& v = context.input(kPastV).shape;
  s.past = k.rank() == 4 ? k[2] : 0;
  if (k != checked_shape(context, {s.batch, s.kv_heads, s.past, s.size}) ||
      v != checked_shape(context, {s.batch, s.kv_heads, s.past, s.v_size}))
    context.error("past_key has shape ", k.to_string(), " and past_value ", v.to_string(),
                  ", expected [", s.batch, ", ", s.kv_heads, ", past, ", s.size, "] and [", s.batch,
                  ", ", s.kv_heads, ", past, ", s.v_size, "]");
  s.past_k = heads_first(s.kv_heads, s.past, s.size);
  s.past_v = heads_first(s.kv_heads, s.past, s.v_size);
}

void read_settings(const InferContext& context, AttentionShape& s) {
  const Attributes& a = context.attributes();
  const auto width = static_cast<float>(s.size);
  s.scale = a.number("scale", 1.0f / std::sqrt(width));
  if (s.scale == 0.0f && !a.has("scale")) s.scale = 1.0f;
  s.softcap = a.number("softcap", 0.0f);
  if (!(s.softcap >= 0.0f)) context.error("softcap is ", s.softcap, ", expected 0 or more");
  s.causal = a.integer("is_causal", 0) != 0;
  s.scores_mode = a.integer("qk_matmul_output_mode", 0);
  if (s.scores_mode < 0 || s.scores_mode > 3)
    context.error("qk_matmul_output_mode is ", s.scores_mode, ", expected 0 to 3");
  s.left = a.integer("left_window_size", -1);
  s.right = a.integer("right_window_size", -1);
  if (s.left < -1 || s.right < -1)
    context.error("left_window_size is ", s.left, " and right_window_size ", s.right,
                  ", expected -1 (none) or more");
}

AttentionShape shape_of(const InferContext& context) {
  check_ranks(context);
  const Extents q = extents_of(context, kQ), k = extents_of(context, kK),
                v = extents_of(context, kV);
  if (k.batch != q.batch || v.batch != q.batch || k.heads != v.heads || k.rows != v.rows ||
      k.size != q.size)
    context.error(
        "q has shape ", context.input(kQ).shape.to_string(), ", k ",
        context.input(kK).shape.to_string(), " and v ", context.input(kV).shape.to_string(),
        ": batches, head sizes of q and k, heads and lengths of k and v must be the same");
  if (k.heads == 0 || q.heads % k.heads != 0)
    context.error("q has ", q.heads, " heads, k ", k.heads, "; the first must be a multiple");
  AttentionShape s{.batch = q.batch,
                   .heads = q.heads,
                   .kv_heads = k.heads,
                   .queries = q.rows,
                   .past = 0,
                   .keys = k.rows,
                   .size = q.size,
                   .v_size = v.size,
                   .filter = -std::numeric_limits<float>::infinity()};
  s.q = q.strides();
  s.k = k.strides();
  s.v = v.strides();
  s.y = q.heads_first ? heads_first(s.heads, s.queries, s.v_size)
                      : rows_first(s.heads, s.queries, s.v_size);
  check_past(context, s);
  s.present_k = heads_first(s.kv_heads, s.total(), s.size);
  s.present_v = heads_first(s.kv_heads, s.total(), s.v_size);
  read_settings(context, s);
  if (context.has_input(kLengths)) {
    s.lengths = kLengths;
    require_dtype(context, kLengths, {DType::kInt64});
    if (context.input(kLengths).shape != Shape{s.batch})
      context.error("nonpad_kv_seqlen has shape ", context.input(kLengths).shape.to_string(),
                    ", expected [", s.batch, "]");
  }
  if (context.has_input(kMask)) s.masks = {mask_of(context, kMask, s, context.node().opset >= 24)};
  return s;
}

void infer(InferContext& context) {
  for (size_t i : {kQ, kK, kV, kPastK, kPastV})
    if (context.has_input(i)) require_dtype(context, i, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, kQ, kK);
  const AttentionShape s = shape_of(context);
  const DType dtype = context.input(kQ).dtype, v_dtype = context.input(kV).dtype;
  context.set_output(kY, dtype,
                     context.input(kQ).shape.rank() == 4
                         ? checked_shape(context, {s.batch, s.heads, s.queries, s.v_size})
                         : checked_shape(context, {s.batch, s.queries, s.heads * s.v_size}));
  context.set_output(kPresentK, dtype,
                     checked_shape(context, {s.batch, s.kv_heads, s.total(), s.size}));
  context.set_output(kPresentV, v_dtype,
                     checked_shape(context, {s.batch, s.kv_heads, s.total(), s.v_size}));
  context.set_output(kScores, dtype,
                     checked_shape(context, {s.batch, s.heads, s.queries, s.total()}));
}

void reference(const ReferenceContext& context) {
  const AttentionShape s = shape_of(context);
  const auto source = [&](size_t input, const HeadRows& rows) {
    return [x = RealNumbers(context, input), rows](int64_t b, int64_t h, int64_t i, int64_t d) {
      return x[rows.at(b, h, i) + d];
    };
  };
  reference_attention(context, s,
                      {.q = source(kQ, s.q),
                       .k = source(kK, s.k),
                       .v = source(kV, s.v),
                       .past_k = source(kPastK, s.past_k),
                       .past_v = source(kPastV, s.past_v),
                       .y = kY,
                       .present_k = kPresentK,
                       .present_v = kPresentV,
                       .scores = kScores});
}

struct Step {
  AttentionPlan plan;
  size_t inputs, outputs;
};

void run(const Step& step, const StepArgs& args) {
  const auto in = [&](size_t i) {
    return i < step.inputs ? static_cast<const float*>(args.inputs[i]) : nullptr;
  };
  const auto out = [&](size_t i) {
    return i < step.outputs ? static_cast<float*>(args.outputs[i]) : nullptr;
  };
  run_attention(step.plan,
                {.q = in(kQ),
                 .k = in(kK),
                 .v = in(kV),
                 .past_k = in(kPastK),
                 .past_v = in(kPastV),
                 .q_bias = nullptr,
                 .k_bias = nullptr,
                 .v_bias = nullptr,
                 .y = out(kY),
                 .present_k = out(kPresentK),
                 .present_v = out(kPresentV),
                 .scores = out(kScores),
                 .inputs = args.inputs},
                *args.workers, args.scratch, args.scratch_stride);
}

void plan(PlanContext& context) {
  for (size_t i : {kQ, kK, kV})
    if (context.input(i).dtype != DType::kFloat32 || context.input(i).shape.elements() == 0) return;
  if (!context.has_output(kY)) return;
  for (size_t i : {kPastK, kPastV})
    if (context.has_input(i) && context.input(i).dtype != DType::kFloat32) return;
  Step step{plan_attention(context.kernels(), context.threads(), shape_of(context)),
            context.inputs(), context.outputs()};
  context.scratch(step.plan.bytes);
  context.emit(run, std::move(step));
}

int64_t macs(const InferContext& context, const TensorType& /*output*/) {
  const AttentionShape s = shape_of(context);
  return s.batch * s.heads * s.queries * s.total() * (s.size + s.v_size);
}

SANDERLING_OPERATOR(attention)({.name = "Attention",
                                .since_opset = 23,
                                .min_inputs = 3,
                                .max_inputs = 7,
                                .max_outputs = 4,
                                .infer = infer,
                                .reference = reference,
                                .plan = plan,
                                .plans_empty_inputs = true,
                                .macs = macs});

}  // namespace
}  // namespace sanderling
