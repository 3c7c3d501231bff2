#include <limits>

#include "kernels/table.h"
#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

constexpr int64_t kAxesAreInputSince = 18;

// For each axis of the input, whether the mean goes over it.
std::vector<bool> reduced_axes(const InferContext& context) {
  const int64_t rank = context.input(0).shape.rank();
  const auto given = optional_axes(context, kAxesAreInputSince);
  const bool none_means_none = context.node().opset >= kAxesAreInputSince &&
                               context.attributes().integer("noop_with_empty_axes", 0) != 0;
  if (!given || given->empty())
    return std::vector<bool>(static_cast<size_t>(rank), !none_means_none);
  std::vector<bool> reduced(static_cast<size_t>(rank), false);
  for (int64_t axis : checked_axes(context, *given, rank))
    reduced[static_cast<size_t>(axis)] = true;
  return reduced;
}

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64});
  const std::vector<bool> reduced = reduced_axes(context);
  const bool keep = context.attributes().integer("keepdims", 1) != 0;
  std::vector<int64_t> dims;
  for (int64_t axis = 0; axis < x.shape.rank(); ++axis) {
    if (!reduced[static_cast<size_t>(axis)])
      dims.push_back(x.shape[axis]);
    else if (keep)
      dims.push_back(1);
  }
  context.set_output(0, x.dtype, Shape(std::move(dims)));
}

// Where input element `index` goes: its index in the output.
int64_t output_index(const Shape& shape, const std::vector<bool>& reduced, int64_t index) {
  int64_t offset = 0, stride = 1;
  for (int64_t axis = shape.rank() - 1; axis >= 0; --axis) {
    if (!reduced[static_cast<size_t>(axis)]) {
      offset += index % shape[axis] * stride;
      stride *= shape[axis];
    }
    index /= shape[axis];
  }
  return offset;
}

// Sums in double, or wrapping in int64. Integer means truncate toward zero. The mean of nothing is
// NaN; 0 for integers.
void reference(const ReferenceContext& context) {
  const Shape& shape = context.input(0).shape;
  const std::vector<bool> reduced = reduced_axes(context);
  int64_t length = 1;
  for (int64_t axis = 0; axis < shape.rank(); ++axis)
    if (reduced[static_cast<size_t>(axis)]) length *= shape[axis];
  const int64_t outputs = context.output(0).shape.elements();
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    using Sum = std::conditional_t<std::is_integral_v<T>, int64_t, double>;
    std::vector<Sum> sums(static_cast<size_t>(outputs), Sum{0});
    for (int64_t i = 0; i < shape.elements(); ++i) {
      Sum& sum = sums[static_cast<size_t>(output_index(shape, reduced, i))];
      sum = wrapping(sum, static_cast<Sum>(context.in<T>(0)[i]),
                     [](auto a, auto b) { return a + b; });
    }
    for (int64_t i = 0; i < outputs; ++i) {
      const Sum sum = sums[static_cast<size_t>(i)];
      if constexpr (std::is_integral_v<T>)
        context.out<T>(0)[i] = length == 0 ? T{0} : static_cast<T>(sum / length);
      else
        context.out<T>(0)[i] = static_cast<T>(sum / static_cast<double>(length));
    }
  });
}

// The mean over the middle of [outer, length, inner].
struct Step {
  const KernelTable* kernels;
  int64_t outer, length, inner;
};

// Rows lie in memory: four sums in double hide the latency of addition.
float mean_of_row(const float* x, int64_t length) {
  double sums[4] = {0.0, 0.0, 0.0, 0.0};
  int64_t i = 0;
  for (; i + 4 <= length; i += 4)
    for (int64_t lane = 0; lane < 4; ++lane) sums[lane] += static_cast<double>(x[i + lane]);
  for (; i < length; ++i) sums[0] += static_cast<double>(x[i]);
  return static_cast<float>(((sums[0] + sums[1]) + (sums[2] + sums[3])) /
                            static_cast<double>(length));
}

void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  const int64_t row = step.length * step.inner;
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / row);
  for_each_range(*args.workers, step.outer, grain, [&](int64_t begin, int64_t end) {
    for (int64_t outer = begin; outer < end; ++outer) {
      const float* from = x + outer * row;
      float* to = y + outer * step.inner;
      if (step.inner == 1) {
        *to = mean_of_row(from, step.length);
        continue;
      }
      std::copy_n(from, step.inner, to);
      for (int64_t i = 1; i < step.length; ++i)
        step.kernels->accumulate_f32(from + i * step.inner, to, step.inner);
      for (int64_t i = 0; i < step.inner; ++i) to[i] /= static_cast<float>(step.length);
    }
  });
}

// Only where the reduced axes are neighbours (those of extent 1 aside).
void plan(PlanContext& context) {
  const Shape& shape = context.input(0).shape;
  if (context.input(0).dtype != DType::kFloat32 || shape.elements() == 0) return;
  const std::vector<bool> reduced = reduced_axes(context);
  Step step{&context.kernels(), 1, 1, 1};
  for (int64_t axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    if (reduced[static_cast<size_t>(axis)]) {
      if (step.inner != 1) return;
      step.length *= shape[axis];
    } else if (step.length == 1) {
      step.outer *= shape[axis];
    } else {
      step.inner *= shape[axis];
    }
  }
  context.emit(run, step);
}

SANDERLING_OPERATOR(reduce_mean)({.name = "ReduceMean",
                                  .since_opset = 7,
                                  .max_inputs = 2,
                                  .infer = infer,
                                  .reference = reference,
                                  .plan = plan});

}  // namespace
}  // namespace sanderling
