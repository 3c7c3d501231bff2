#include "ops/row_normalization.h"

#include <cmath>

#include "ops/axes.h"
#include "ops/broadcast.h"
#include "ops/parallel.h"
#include "ops/real_numbers.h"
#include "ops/vector_functions.h"

namespace sanderling {
namespace {

float epsilon_of(const InferContext& context, float otherwise) {
  const float epsilon = context.attributes().number("epsilon", otherwise);
  if (!(epsilon >= 0.0f)) context.error("epsilon is ", epsilon, ", expected 0 or more");
  return epsilon;
}

// Elements of an input that repeats; 1 where there is none, so that % is defined.
int64_t period(const InferContext& context, size_t input) {
  return input == kNone || !context.has_input(input)
             ? 1
             : std::max<int64_t>(1, context.input(input).shape.elements());
}

bool is_broadcastable(const Shape& from, const Shape& to) {
  if (from.rank() > to.rank()) return false;
  for (int64_t i = 1; i <= from.rank(); ++i)
    if (from[from.rank() - i] != 1 && from[from.rank() - i] != to[to.rank() - i]) return false;
  return true;
}

void require_broadcastable(const InferContext& context, size_t input, const char* name) {
  const Shape& shape = context.input(input).shape;
  if (!is_broadcastable(shape, context.input(0).shape))
    context.error(name, " has shape ", shape.to_string(), ", which does not broadcast to x ",
                  context.input(0).shape.to_string());
}

void require_vector(const InferContext& context, size_t input, const char* name, int64_t length) {
  if (input == kNone || !context.has_input(input)) return;
  require_same_dtype(context, 0, input);
  if (context.input(input).shape != Shape{length})
    context.error(name, " has shape ", context.input(input).shape.to_string(), ", expected [",
                  length, "], the last axis of x");
}

// Whether an input is one row (1), one number (0) or something else.
std::optional<int64_t> step_of(const PlanContext& context, size_t input,
                               const RowNormalization& n) {
  if (input == kNone || !context.has_input(input)) return 0;
  const Shape& x = context.input(0).shape;
  const Shape& shape = context.input(input).shape;
  if (shape.elements() == 1) return 0;
  int64_t length = 1;
  for (int64_t i = 1; i <= shape.rank() && length < n.length; ++i) {
    if (shape[shape.rank() - i] != x[x.rank() - i]) return std::nullopt;
    length *= x[x.rank() - i];
  }
  if (length == n.length && shape.elements() == n.length) return 1;
  return std::nullopt;
}

struct Step {
  RowNormalization n;
  size_t inputs, outputs;
  int64_t scale_step, shift_step, skip_period;
  int64_t grain;

  const float* in(const StepArgs& args, size_t i) const {
    return i < inputs ? static_cast<const float*>(args.inputs[i]) : nullptr;
  }
  float* out(const StepArgs& args, size_t i) const {
    return i < outputs ? static_cast<float*>(args.outputs[i]) : nullptr;
  }
};

// Row `row` of the sum of what comes in, in `to`.
void add_row(const Step& s, const StepArgs& args, int64_t row, float* to) {
  const int64_t length = s.n.length;
  const float* const x = s.in(args, 0) + row * length;
  const float* const skip = s.in(args, s.n.skip) + row * length % s.skip_period;
  const float* const addend = s.in(args, s.n.addend);
  for (int64_t i = 0; i < length; ++i) to[i] = x[i] + skip[i];
  for (int64_t i = 0; addend && i < length; ++i) to[i] += addend[i];
}

void scale_row(const Step& s, const StepArgs& args, const float* x, float mean, float inverse,
               float* y) {
  const float* const scale = s.in(args, s.n.scale);
  const float* const shift = s.in(args, s.n.shift);
  const int64_t length = s.n.length;
  if (s.scale_step == 1)
    for (int64_t i = 0; i < length; ++i) y[i] = (x[i] - mean) * inverse * scale[i];
  else
    for (int64_t i = 0; i < length; ++i) y[i] = (x[i] - mean) * inverse * scale[0];
  if (!shift) return;
  if (s.shift_step == 1)
    for (int64_t i = 0; i < length; ++i) y[i] += shift[i];
  else
    for (int64_t i = 0; i < length; ++i) y[i] += shift[0];
}

void run_row(const Step& s, const StepArgs& args, int64_t row) {
  const int64_t length = s.n.length;
  float* const y = s.out(args, 0) + row * length;
  const float* x = s.in(args, 0) + row * length;
  if (s.n.skip != kNone) {
    float* const sum = s.out(args, s.n.sum);
    float* const to = sum ? sum + row * length : y;
    add_row(s, args, row, to);
    x = to;
  }
  const auto count = static_cast<double>(length);
  const double mean =
      s.n.centred ? sum_in_vectors(length, [&](int64_t i) { return x[i]; }) / count : 0.0;
  const auto middle = static_cast<float>(mean);
  const double square = sum_in_vectors(length,
                                       [&](int64_t i) {
                                         const float difference = x[i] - middle;
                                         return difference * difference;
                                       }) /
                        count;
  const double inverse = 1.0 / std::sqrt(square + static_cast<double>(s.n.epsilon));
  if (float* const means = s.out(args, s.n.mean)) means[row] = middle;
  if (float* const inverses = s.out(args, s.n.inverse)) inverses[row] = static_cast<float>(inverse);
  if (s.out(args, 0)) scale_row(s, args, x, middle, static_cast<float>(inverse), y);
}

void run(const Step& s, const StepArgs& args) {
  for_each_range(*args.workers, s.n.rows, s.grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) run_row(s, args, row);
  });
}

}  // namespace

RowNormalization normalization_from_axis(const InferContext& context, bool centred) {
  const Shape& x = context.input(0).shape;
  if (x.rank() == 0) context.error("x is a scalar, expected at least one axis");
  const int64_t axis = checked_axis(context, context.attributes().integer("axis", -1), x.rank());
  return {.rows = x.elements(0, axis),
          .length = x.elements(axis, x.rank()),
          .centred = centred,
          .epsilon = epsilon_of(context, 1e-5f),
          .scale = 1,
          .shift = centred ? 2 : kNone,
          .mean = centred ? 1 : kNone,
          .inverse = centred ? size_t{2} : size_t{1}};
}

void infer_normalization_from_axis(InferContext& context, const RowNormalization& n) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_dtype(context, n.scale, {DType::kFloat32, DType::kFloat64});
  require_broadcastable(context, n.scale, "scale");
  const int64_t stash = context.attributes().integer("stash_type", 1);
  if (stash != 1)  // float16 and bfloat16 are widened before
    context.unsupported("stash_type is ", stash, "; the native engine takes 1 (float32) here");
  if (n.shift != kNone && context.has_input(n.shift)) {
    require_same_dtype(context, n.scale, n.shift);
    require_broadcastable(context, n.shift, "b");
  }
  const Shape& x = context.input(0).shape;
  context.set_output(0, context.input(n.scale).dtype, x);
  std::vector<int64_t> dims = x.dims();
  const int64_t axis = checked_axis(context, context.attributes().integer("axis", -1), x.rank());
  std::fill(dims.begin() + axis, dims.end(), 1);
  for (size_t output : {n.mean, n.inverse})
    if (output != kNone) context.set_output(output, DType::kFloat32, checked_shape(context, dims));
}

RowNormalization skip_normalization(const InferContext& context, bool centred) {
  const Shape& x = context.input(0).shape;
  if (x.rank() != 2 && x.rank() != 3)
    context.error("x has shape ", x.to_string(), ", expected rank 2 or 3");
  return {.rows = x.elements(0, x.rank() - 1),
          .length = x[x.rank() - 1],
          .centred = centred,
          .epsilon = epsilon_of(context, 1e-12f),
          .scale = 2,
          .shift = centred ? 3 : kNone,
          .skip = 1,
          .addend = centred ? size_t{4} : size_t{3},
          .mean = 1,
          .inverse = 2,
          .sum = 3};
}

void infer_skip_normalization(InferContext& context, const RowNormalization& n) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, 1);
  const Shape& x = context.input(0).shape;
  const Shape& skip = context.input(1).shape;
  // What is left of x's axes when a batch of 1, or the batch axis, is left out.
  const bool repeats = x.rank() == 3 && (skip == Shape{1, x[1], x[2]} || skip == Shape{x[1], x[2]});
  if (skip != x && !repeats)
    context.error("skip has shape ", skip.to_string(), ", x ", x.to_string(),
                  "; it must be the same, but for the batch axis");
  require_vector(context, n.scale, "gamma", n.length);
  require_vector(context, n.shift, "beta", n.length);
  require_vector(context, n.addend, "bias", n.length);
  context.set_output(0, context.input(0).dtype, x);
  std::vector<int64_t> dims = x.dims();
  dims.back() = 1;
  context.set_output(n.mean, DType::kFloat32, checked_shape(context, dims));
  context.set_output(n.inverse, DType::kFloat32, checked_shape(context, dims));
  context.set_output(n.sum, context.input(0).dtype, x);
}

void reference_normalization(const ReferenceContext& context, const RowNormalization& n) {
  const RealNumbers x(context, 0), scale(context, n.scale), shift(context, n.shift),
      skip(context, n.skip), addend(context, n.addend);
  const Shape& shape = context.input(0).shape;
  const int64_t skip_period = period(context, n.skip), addend_period = period(context, n.addend);
  const auto at = [&](size_t input, int64_t i) {
    return input == kNone || !context.has_input(input)
               ? 0
               : broadcast_offset(shape, context.input(input).shape, i);
  };
  const auto count = static_cast<double>(n.length);
  for (int64_t row = 0; row < n.rows; ++row) {
    const int64_t begin = row * n.length, end = begin + n.length;
    const auto value = [&](int64_t i) {
      return x[i] + skip[i % skip_period] + addend[i % addend_period];
    };
    double mean = 0.0, square = 0.0;
    for (int64_t i = begin; n.centred && i < end; ++i) mean += value(i) / count;
    for (int64_t i = begin; i < end; ++i) square += (value(i) - mean) * (value(i) - mean) / count;
    const double inverse = 1.0 / std::sqrt(square + static_cast<double>(n.epsilon));
    for (int64_t i = begin; i < end; ++i) {
      write_real(context, 0, i,
                 (value(i) - mean) * inverse * scale[at(n.scale, i)] + shift[at(n.shift, i)]);
      write_real(context, n.sum, i, value(i));
    }
    write_real(context, n.mean, row, mean);
    write_real(context, n.inverse, row, inverse);
  }
}

void plan_normalization(PlanContext& context, const RowNormalization& n) {
  if (context.input(0).dtype != DType::kFloat32 || context.input(n.scale).dtype != DType::kFloat32)
    return;
  const std::optional<int64_t> scale = step_of(context, n.scale, n),
                               shift = step_of(context, n.shift, n);
  if (!scale || !shift || !context.has_output(0)) return;
  context.emit(run, Step{.n = n,
                         .inputs = context.inputs(),
                         .outputs = context.outputs(),
                         .scale_step = *scale,
                         .shift_step = *shift,
                         .skip_period = period(context, n.skip),
                         .grain = std::max<int64_t>(1, kStreamGrain / 4 / n.length)});
}

}  // namespace sanderling
