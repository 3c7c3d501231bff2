#include "ops/activation_range.h"
#include "ops/com_microsoft/projected_attention.h"
#include "ops/packed_blocks.h"
#include "ops/real_numbers.h"

namespace sanderling {
namespace {

constexpr size_t kX = 0, kWeights = 1, kBias = 2, kMask = 3, kPast = 4, kAttentionBias = 5,
                 kPastLength = 6;
constexpr size_t kY = 0, kPresent = 1;
constexpr ProjectedAttention kInputs{
    .bias = kBias, .mask = kMask, .past = kPast, .attention_bias = kAttentionBias};

// Rows of one task of the projection, as in product.cc.
constexpr int64_t kTaskRows = 96;

void infer(InferContext& context) {
  for (size_t i : {kX, kWeights}) require_dtype(context, i, {DType::kFloat32});
  if (context.has_input(kPastLength))
    context.unsupported("past_sequence_length is given, which the native engine lacks");
  infer_projected(context, kInputs);
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
  reference_projected(context, kInputs, projected(context));
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
  const AttentionShape s = projected_shape(context, kInputs);
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
  return macs_of_projected(context, kInputs);
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
