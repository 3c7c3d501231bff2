// The fast path of recurrent operators: see recurrent.h.
#include <algorithm>

#include "ops/activation_range.h"
#include "ops/recurrent.h"

namespace sanderling {
namespace {

// Multiply-accumulates of a step from which on threads share it: about 50 us, ten times what
// waking them costs.
constexpr int64_t kSharedStepMacs = 1 << 19;
// Hidden units of a block: with four gates 256 columns, a multiple of every kernel's panel.
constexpr int64_t kBlockUnits = 64;
// Rows that make an input product worth its packed weights, as in product.cc.
constexpr int64_t kChunkRows = 96;

int64_t block_width(const RecurrentPlan& s, int64_t block) {
  return std::min(s.unit_block, s.recurrence.hidden - block * s.unit_block);
}
int64_t blocks_of(const RecurrentPlan& s) {
  return (s.recurrence.hidden + s.unit_block - 1) / s.unit_block;
}

// Rows [gate][hidden][depth] of `weights` as blocks of [gate][width][depth], which the node's model
// keeps.
GateBlocks packed(PlanContext& context, std::string_view tag, const RecurrentPlan& s,
                  const float* weights, int64_t first_gate, int64_t gates, int64_t depth) {
  const int64_t hidden = s.recurrence.hidden;
  GateBlocks result;
  int64_t size = 0;
  for (int64_t block = 0; block < blocks_of(s); ++block) {
    result.starts.push_back(size);
    size += static_cast<int64_t>(
        (s.kernels->packed_bytes_f32(gates * block_width(s, block), depth) + kAlignment - 1) /
        kAlignment * kAlignment / sizeof(float));
  }
  const TensorType type{DType::kFloat32, Shape{size}};
  result.packed = context.shared_tensor(tag, type, [&] {
    Tensor blocks(type);
    std::vector<float> rows(static_cast<size_t>(gates * s.unit_block * depth));
    for (int64_t block = 0; block < blocks_of(s); ++block) {
      const int64_t width = block_width(s, block);
      for (int64_t g = 0; g < gates; ++g)
        std::copy_n(weights + ((first_gate + g) * hidden + block * s.unit_block) * depth,
                    width * depth, rows.data() + g * width * depth);
      s.kernels->pack_f32(
          rows.data(), gates * width, depth,
          blocks.mutable_data<float>().data() + result.starts[static_cast<size_t>(block)]);
    }
    return blocks;
  });
  return result;
}

// The bias of a direction in the order of the blocks: the W half of b (if `of_input`) and of the R
// half those gates that belong to this product.
Tensor bias_of(const RecurrentPlan& s, const float* b, bool of_input, int64_t first_recurrent) {
  const int64_t hidden = s.recurrence.hidden, gates = s.recurrence.gates;
  Tensor result(DType::kFloat32, Shape{gates * hidden});
  float* to = result.mutable_data<float>().data();
  for (int64_t block = 0; block < blocks_of(s); ++block)
    for (int64_t g = 0; g < gates; ++g)
      for (int64_t j = 0; j < block_width(s, block); ++j) {
        const int64_t row = g * hidden + block * s.unit_block + j;
        const float recurrent = (g < first_recurrent) == of_input ? b[gates * hidden + row] : 0.0f;
        *to++ = of_input ? b[row] + recurrent : recurrent;
      }
  return result;
}

// The memory of one task.
struct Work {
  float *x, *gates, *r, *h, *next_h, *c, *mixed;

  static int64_t rounded(int64_t floats) { return (floats + 15) / 16 * 16; }  // to whole lines

  static int64_t floats(const RecurrentPlan& s, int64_t rows) {
    const Recurrence& q = s.recurrence;
    return rounded(s.chunk * rows * q.input) + rounded(s.chunk * rows * q.gates * q.hidden) +
           rounded(rows * q.gates * q.hidden) + 4 * rounded(rows * q.hidden);
  }

  Work(const RecurrentPlan& s, int64_t rows, std::byte* scratch) {
    const Recurrence& q = s.recurrence;
    auto* at = reinterpret_cast<float*>(scratch);
    const auto take = [&](int64_t count) {
      float* const taken = at;
      at += rounded(count);
      return taken;
    };
    x = take(s.chunk * rows * q.input);
    gates = take(s.chunk * rows * q.gates * q.hidden);
    r = take(rows * q.gates * q.hidden);
    h = take(rows * q.hidden);
    next_h = take(rows * q.hidden);
    c = take(rows * q.hidden);
    mixed = take(rows * q.hidden);
  }
};

void multiply(const RecurrentPlan& s, const GateBlocks& weights, int64_t block, int64_t gates,
              int64_t rows, int64_t depth, const float* a, const float* bias, float* c) {
  const ActivationRange all;
  const int64_t width = block_width(s, block), at = gates * block * s.unit_block;
  s.kernels->gemm_f32(
      {.rows = rows,
       .columns = gates * width,
       .depth = depth,
       .a = a,
       .a_stride = depth,
       .b = weights.packed->data<float>().data() + weights.starts[static_cast<size_t>(block)],
       .bias = bias ? bias + at : nullptr,
       .low = all.low,
       .high = all.high,
       .c = c + at,
       .c_stride = gates * s.recurrence.hidden});
}

// Some sequences of one direction, from the first step to the last.
struct Run {
  const RecurrentPlan& s;
  const StepArgs& args;
  int64_t direction, begin, end;  // sequences
  Workers& workers;
  Work work;

  const Recurrence& q() const { return s.recurrence; }
  size_t d() const { return static_cast<size_t>(direction); }
  int64_t rows() const { return end - begin; }
  const float* input(size_t i) const {
    return i < s.inputs ? static_cast<const float*>(args.inputs[i]) : nullptr;
  }
  float* output(size_t i) const {
    return i < s.outputs ? static_cast<float*>(args.outputs[i]) : nullptr;
  }
  const int32_t* lengths() const {
    return kLengths < s.inputs ? static_cast<const int32_t*>(args.inputs[kLengths]) : nullptr;
  }
  int64_t length(int64_t row) const { return q().length(lengths(), begin + row); }

  void load(size_t i, float* state) const {
    for (int64_t row = 0; row < rows(); ++row) {
      if (input(i))
        std::copy_n(input(i) + q().state_row(direction, begin + row), q().hidden,
                    state + row * q().hidden);
      else
        std::fill_n(state + row * q().hidden, q().hidden, 0.0f);
    }
  }

  void store(size_t i, const float* state) const {
    for (int64_t row = 0; output(i) && row < rows(); ++row)
      std::copy_n(state + row * q().hidden, q().hidden,
                  output(i) + q().state_row(direction, begin + row));
  }

  // The rows of x of steps [first, first + count), one step after the other.
  const float* gather(int64_t first, int64_t count) const {
    if (!q().batch_first && !q().reversed(direction) && rows() == q().batch)
      return input(kX) + q().x_row(first, 0);
    for (int64_t i = 0; i < count * rows(); ++i) {
      const int64_t row = i % rows(), step = first + i / rows(), steps = length(row);
      float* const to = work.x + i * q().input;
      if (step < steps)
        std::copy_n(input(kX) + q().x_row(q().moment(direction, step, steps), begin + row),
                    q().input, to);
      else
        std::fill_n(to, q().input, 0.0f);
    }
    return work.x;
  }

  void project(int64_t first, int64_t count) const {
    const float* const x = gather(first, count);
    const float* const bias = s.input_bias[d()] ? s.input_bias[d()]->data<float>().data() : nullptr;
    workers.for_each(blocks_of(s), [&](int64_t block, int /*thread*/) {
      multiply(s, s.input_weights[d()], block, q().gates, count * rows(), q().input, x, bias,
               work.gates);
    });
  }

  void finish_row(int64_t step, int64_t row, int64_t first, int64_t width, bool active) const {
    const int64_t at = row * q().hidden + first;
    if (!active) {
      std::copy_n(work.h + at, width, work.next_h + at);
    } else if (float* const y = output(0)) {
      const int64_t t = q().moment(direction, step, length(row));
      std::copy_n(work.next_h + at, width, y + q().y_row(t, direction, begin + row) + first);
    }
  }

  // One block of hidden units in one phase of a step; `gates` are the input products of the step.
  void advance(const Phase& phase, int64_t block, int64_t step, float* gates) const {
    const int64_t first = block * s.unit_block, width = block_width(s, block);
    multiply(s, phase.weights[d()], block, phase.gates, rows(), q().hidden,
             phase.of_mixed ? work.mixed : work.h,
             s.recurrent_bias[d()] ? s.recurrent_bias[d()]->data<float>().data() : nullptr, work.r);
    for (int64_t row = 0; row < rows(); ++row) {
      const bool active = step < length(row);
      const int64_t at = row * q().hidden + first;
      if (active)
        phase.cell(s, {.direction = direction,
                       .first = first,
                       .width = width,
                       .x = gates + q().gates * at,
                       .r = work.r + phase.gates * at,
                       .h = work.h + at,
                       .next_h = work.next_h + at,
                       .c = work.c + at,
                       .mixed = work.mixed + at});
      if (&phase == &s.phases.back()) finish_row(step, row, first, width, active);
    }
  }

  void operator()() {
    load(kInitialH, work.h);
    if (q().gates == 4) load(kInitialC, work.c);
    int64_t steps = 0;
    for (int64_t row = 0; row < rows(); ++row) steps = std::max(steps, length(row));
    for (int64_t first = 0; first < steps; first += s.chunk) {
      const int64_t count = std::min(s.chunk, steps - first);
      project(first, count);
      for (int64_t i = 0; i < count; ++i) {
        float* const gates = work.gates + i * rows() * q().gates * q().hidden;
        for (const Phase& phase : s.phases)
          workers.for_each(blocks_of(s), [&](int64_t block, int /*thread*/) {
            advance(phase, block, first + i, gates);
          });
        std::swap(work.h, work.next_h);
      }
    }
    for (int64_t row = 0; output(0) && row < rows(); ++row)
      for (int64_t t = length(row); t < q().steps; ++t)
        std::fill_n(output(0) + q().y_row(t, direction, begin + row), q().hidden, 0.0f);
    store(1, work.h);
    store(2, work.c);
  }
};

void run(const RecurrentPlan& s, const StepArgs& args) {
  const Recurrence& q = s.recurrence;
  if (s.sequences == 0) {
    for (int64_t d = 0; d < q.directions; ++d)
      Run{s, args, d, 0, q.batch, *args.workers, Work(s, q.batch, args.scratch)}();
    return;
  }
  const int64_t tasks = (q.batch + s.sequences - 1) / s.sequences;
  args.workers->for_each(q.directions * tasks, [&](int64_t task, int thread) {
    InlineWorkers alone;
    const int64_t begin = task % tasks * s.sequences;
    Run{s,
        args,
        task / tasks,
        begin,
        std::min(q.batch, begin + s.sequences),
        alone,
        Work(s, s.sequences, args.scratch + static_cast<size_t>(thread) * args.scratch_stride)}();
  });
}

// Threads take sequences each, as those need not wait for each other; where there are too few,
// they share every step of large ones.
void share(PlanContext& context, RecurrentPlan& s) {
  const Recurrence& q = s.recurrence;
  const int64_t threads = context.threads();
  const int64_t per_direction = (threads + q.directions - 1) / q.directions;
  s.sequences = (q.batch + per_direction - 1) / per_direction;
  const int64_t tasks = q.directions * ((q.batch + s.sequences - 1) / s.sequences);
  if (tasks < threads && q.batch * q.gates * q.hidden * q.hidden >= kSharedStepMacs)
    s.sequences = 0;
  const int64_t rows = s.sequences == 0 ? q.batch : s.sequences;
  s.chunk = std::min(q.steps, (kChunkRows + rows - 1) / rows);
  const size_t bytes = static_cast<size_t>(Work::floats(s, rows)) * sizeof(float);
  // A shared one lies across what all threads have, which is in a row.
  context.scratch(s.sequences == 0 ? bytes / static_cast<size_t>(threads) + kAlignment : bytes);
}

}  // namespace

void plan_recurrent(PlanContext& context, RecurrentPlan s, int64_t first_recurrent_bias_gate) {
  if (context.input(kX).dtype != DType::kFloat32) return;
  for (size_t i : {kW, kR, kB, kP})
    if (context.has_input(i) && !context.is_constant(i)) return;
  const Recurrence& q = s.recurrence;
  s.kernels = &context.kernels();
  s.inputs = context.inputs();
  s.outputs = context.outputs();
  s.unit_block = kBlockUnits;
  const auto slice = [&](size_t input, int64_t d) {
    const KnownTensor tensor = context.constant(input);
    return tensor.data<float>().data() + d * (tensor.shape().elements() / q.directions);
  };
  for (int64_t d = 0; d < q.directions; ++d) {
    const auto i = static_cast<size_t>(d);
    s.input_weights[i] = packed(context, cat("w", d), s, slice(kW, d), 0, q.gates, q.input);
    for (Phase& phase : s.phases)
      phase.weights[i] = packed(context, cat("r", phase.first_gate, "-", d), s, slice(kR, d),
                                phase.first_gate, phase.gates, q.hidden);
    if (context.has_input(kP))
      s.peepholes[i] =
          context.shared_tensor(cat("p", d), {DType::kFloat32, Shape{3 * q.hidden}}, [&] {
            return Tensor::of<float>(Shape{3 * q.hidden},
                                     std::span(slice(kP, d), static_cast<size_t>(3 * q.hidden)));
          });
    if (!context.has_input(kB)) continue;
    const auto shared_bias = [&](const char* tag, bool of_input) {
      return context.shared_tensor(cat(tag, d), {DType::kFloat32, Shape{q.gates * q.hidden}}, [&] {
        return bias_of(s, slice(kB, d), of_input, first_recurrent_bias_gate);
      });
    };
    s.input_bias[i] = shared_bias("wb", true);
    if (first_recurrent_bias_gate < q.gates) s.recurrent_bias[i] = shared_bias("rb", false);
  }
  share(context, s);
  context.emit(run, std::move(s));
}

}  // namespace sanderling
