#include <cmath>

#include "ops/activation_range.h"
#include "ops/com_microsoft/attention_masks.h"
#include "ops/packed_blocks.h"
#include "ops/real_numbers.h"

namespace sanderling {
namespace {

constexpr size_t kX = 0, kWeights = 1, kBias = 2, kMask = 3, kPast = 4, kAttentionBias = 5,
                 kPastLength = 6;
constexpr size_t kY = 0, kPresent = 1;
constexpr size_t kNotThere = static_cast<size_t>(-1);

// Rows of one task of the projection, as in product.cc.
constexpr int64_t kTaskRows = 96;

// Columns of the projection: queries, keys, values of all heads.
struct Widths {
  int64_t q, v;
  int64_t all() const { return 2 * q + v; }
};

Widths widths_of(const InferContext& context, int64_t heads) {
  const Shape& weights = context.input(kWeights).shape;
  const std::vector<int64_t> given = context.attributes().integers("qkv_hidden_sizes", {});
  if (given.empty()) {
    if (weights[1] % (3 * heads) != 0)
      context.error("weights has shape ", weights.to_string(), ", num_heads is ", heads,
                    "; its columns must be a multiple of three times that");
    return {weights[1] / 3, weights[1] / 3};
  }
  const bool fits = given.size() == 3 && given[0] == given[1] && given[0] > 0 && given[2] > 0 &&
                    given[0] % heads == 0 && given[2] % heads == 0 && given[0] <= weights[1] &&
                    given[2] <= weights[1] && 2 * given[0] + given[2] == weights[1];
  if (!fits)
    context.error("qkv_hidden_sizes must be three multiples of num_heads ", heads,
                  ", the first two the same, with the sum ", weights[1],
                  ", the columns of weights");
  return {given[0], given[2]};
}

AttentionShape shape_of(const InferContext& context) {
  const Shape& x = context.input(kX).shape;
  const Shape& weights = context.input(kWeights).shape;
  if (x.rank() != 3 || weights.rank() != 2 || weights[0] != x[2])
    context.error("x has shape ", x.to_string(), " and weights ", weights.to_string(),
                  ", expected [batch, rows, size] and [size, columns]");
  const int64_t heads = heads_of_microsoft(context);
  const Widths widths = widths_of(context, heads);
  AttentionShape s{.batch = x[0],
                   .heads = heads,
                   .kv_heads = heads,
                   .queries = x[1],
                   .past = 0,
                   .keys = x[1],
                   .size = widths.q / heads,
                   .v_size = widths.v / heads,
                   .filter = filter_of_microsoft(context)};
  if (context.has_input(kPast)) {
    const Shape& past = context.input(kPast).shape;
    s.past = past.rank() == 5 ? past[3] : 0;
    if (s.size != s.v_size || past != checked_shape(context, {2, s.batch, heads, s.past, s.size}))
      context.error("past has shape ", past.to_string(), ", expected [2, ", s.batch, ", ", heads,
                    ", past, ", s.size, "] and keys and values of one size");
  }
  // Of the projection.
  const int64_t row = widths.all();
  s.q = {.offset = 0, .batch = x[1] * row, .head = s.size, .row = row};
  s.k = {.offset = widths.q, .batch = x[1] * row, .head = s.size, .row = row};
  s.v = {.offset = 2 * widths.q, .batch = x[1] * row, .head = s.v_size, .row = row};
  s.y = rows_first(heads, s.queries, s.v_size);
  s.past_k = s.past_v = heads_first(heads, s.past, s.size);
  s.past_v.offset = s.batch * heads * s.past * s.size;
  s.present_k = s.present_v = heads_first(heads, s.total(), s.size);
  s.present_v.offset = s.batch * heads * s.total() * s.size;
  // One query sees all, however many keys there are.
  s.causal = context.attributes().integer("unidirectional", 0) != 0 && s.queries > 1;
  s.scale = scale_of_microsoft(context, s.size);
  add_microsoft_masks(context, s, kMask, kAttentionBias);
  return s;
}

void infer(InferContext& context) {
  for (size_t i : {kX, kWeights, kBias, kPast, kAttentionBias})
    if (context.has_input(i)) require_dtype(context, i, {DType::kFloat32});
  for (const char* name : {"do_rotary", "past_present_share_buffer"})
    if (context.attributes().integer(name, 0) != 0)
      context.unsupported(name, " is not 0, which the native engine lacks");
  if (context.has_input(kPastLength))
    context.unsupported("past_sequence_length is given, which the native engine lacks");
  const AttentionShape s = shape_of(context);
  const int64_t columns = context.input(kWeights).shape[1];
  if (context.has_input(kBias) && context.input(kBias).shape != Shape{columns})
    context.error("bias has shape ", context.input(kBias).shape.to_string(), ", expected [",
                  columns, "], the columns of weights");
  context.set_output(kY, DType::kFloat32,
                     checked_shape(context, {s.batch, s.queries, s.heads * s.v_size}));
  if (context.has_output(kPresent) && s.size != s.v_size)
    context.error("present is wanted, and keys have ", s.size, " numbers, values ", s.v_size);
  context.set_output(kPresent, DType::kFloat32,
                     checked_shape(context, {2, s.batch, s.heads, s.total(), s.size}));
}

std::vector<double> projected(const ReferenceContext& context) {
  const Shape& weights = context.input(kWeights).shape;
  const int64_t depth = weights[0], columns = weights[1];
  const int64_t rows = context.input(kX).shape.elements(0, 2);
  const RealNumbers x(context, kX), w(context, kWeights), bias(context, kBias);
  std::vector<double> result;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column) {
      double sum = bias[column];
      for (int64_t k = 0; k < depth; ++k) sum += x[row * depth + k] * w[k * columns + column];
      result.push_back(sum);
    }
  return result;
}

void reference(const ReferenceContext& context) {
  const AttentionShape s = shape_of(context);
  const std::vector<double> all = projected(context);
  const auto source = [&](const HeadRows& rows) {
    return [&all, rows](int64_t b, int64_t h, int64_t i, int64_t d) {
      return all[static_cast<size_t>(rows.at(b, h, i) + d)];
    };
  };
  const auto past = [&](const HeadRows& rows) {
    return [rows, x = RealNumbers(context, kPast)](int64_t b, int64_t h, int64_t i, int64_t d) {
      return x[rows.at(b, h, i) + d];
    };
  };
  reference_attention(context, s,
                      {.q = source(s.q),
                       .k = source(s.k),
                       .v = source(s.v),
                       .past_k = past(s.past_k),
                       .past_v = past(s.past_v),
                       .y = kY,
                       .present_k = kPresent,
                       .present_v = kPresent,
                       .scores = kNotThere});
}

struct Step {
  AttentionPlan plan;
  std::optional<PackedBlocks<float>> weights;
  int64_t rows, columns, depth;
  size_t inputs, outputs;
  size_t projected_bytes;  // at the start of what all threads have for scratch
  size_t thread_bytes;     // after it, for each
};

void project(const Step& step, const float* x, const float* bias, float* to, Workers& workers) {
  const int64_t row_tasks = (step.rows + kTaskRows - 1) / kTaskRows;
  workers.for_each(row_tasks * step.weights->blocks(), [&](int64_t task, int /*thread*/) {
    const int64_t block = task % step.weights->blocks();
    const int64_t first = block * kBlockColumns, row = task / step.weights->blocks() * kTaskRows;
    const ActivationRange all;
    step.plan.kernels->gemm_f32({.rows = std::min(kTaskRows, step.rows - row),
                                 .columns = std::min(kBlockColumns, step.columns - first),
                                 .depth = step.depth,
                                 .a = x + row * step.depth,
                                 .a_stride = step.depth,
                                 .b = step.weights->block(0, block),
                                 .bias = bias ? bias + first : nullptr,
                                 .low = all.low,
                                 .high = all.high,
                                 .c = to + row * step.columns + first,
                                 .c_stride = step.columns});
  });
}

void run(const Step& step, const StepArgs& args) {
  const auto in = [&](size_t i) {
    return i < step.inputs ? static_cast<const float*>(args.inputs[i]) : nullptr;
  };
  const auto out = [&](size_t i) {
    return i < step.outputs ? static_cast<float*>(args.outputs[i]) : nullptr;
  };
  auto* const all = reinterpret_cast<float*>(args.scratch);
  project(step, in(kX), in(kBias), all, *args.workers);
  run_attention(step.plan,
                {.q = all,
                 .k = all,
                 .v = all,
                 .past_k = in(kPast),
                 .past_v = in(kPast),
                 .q_bias = nullptr,
                 .k_bias = nullptr,
                 .v_bias = nullptr,
                 .y = out(kY),
                 .present_k = out(kPresent),
                 .present_v = out(kPresent),
                 .scores = nullptr,
                 .inputs = args.inputs},
                *args.workers, args.scratch + step.projected_bytes, step.thread_bytes);
}

void plan(PlanContext& context) {
  const AttentionShape s = shape_of(context);
  const Shape& weights = context.input(kWeights).shape;
  if (!context.is_constant(kWeights) || !context.has_output(kY) || weights.elements() == 0 ||
      s.batch == 0 || s.queries == 0)
    return;
  Step step{.plan = plan_attention(context.kernels(), context.threads(), s),
            .weights = std::nullopt,
            .rows = s.batch * s.queries,
            .columns = weights[1],
            .depth = weights[0],
            .inputs = context.inputs(),
            .outputs = context.outputs(),
            .projected_bytes = 0,
            .thread_bytes = 0};
  step.weights = PackedBlocks<float>::of_node(context, "packed", 1, step.columns, step.depth, [&] {
    const std::span<const float> given = context.constant(kWeights).data<float>();
    std::vector<float> columns(given.size());
    for (int64_t k = 0; k < step.depth; ++k)
      for (int64_t n = 0; n < step.columns; ++n)
        columns[static_cast<size_t>(n * step.depth + k)] =
            given[static_cast<size_t>(k * step.columns + n)];
    return columns;
  });
  const auto aligned = [](size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  };
  const auto threads = static_cast<size_t>(context.threads());
  step.projected_bytes = aligned(static_cast<size_t>(step.rows * step.columns) * sizeof(float));
  step.thread_bytes = aligned(step.plan.bytes);
  context.scratch(step.thread_bytes + (step.projected_bytes + threads - 1) / threads);
  context.emit(run, std::move(step));
}

int64_t macs(const InferContext& context, const TensorType& /*output*/) {
  const AttentionShape s = shape_of(context);
  return context.input(kX).shape.elements() * context.input(kWeights).shape[1] +
         s.batch * s.heads * s.queries * s.total() * (s.size + s.v_size);
}

SANDERLING_OPERATOR(attention)({.name = "com.microsoft.Attention",
                                .since_opset = 1,
                                .min_inputs = 2,
                                .max_inputs = 7,
                                .max_outputs = 2,
                                .infer = infer,
                                .reference = reference,
                                .plan = plan,
                                .plans_empty_inputs = true,
                                .macs = macs});

}  // namespace
}  // namespace sanderling
