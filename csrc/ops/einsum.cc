#include <array>
#include <limits>

#include "ops/einsum_equation.h"
#include "ops/einsum_product.h"
#include "ops/element_order.h"
#include "ops/element_types.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  for (size_t i = 0; i < context.inputs(); ++i) {
    require_ordered(context, i);
    require_same_dtype(context, 0, i);
  }
  context.set_output(0, context.input(0).dtype, einsum_equation(context).output_shape(context));
}

// All combinations of some indices, the last running fastest, with where each operand is then read.
struct Combinations {
  Combinations(const ReferenceContext& context, const EinsumEquation& equation,
               const EinsumIndices& indices)
      : count(equation.elements(indices)) {
    for (int index : indices) {
      extents.push_back(equation.extent(index));
      for (size_t i = 0; i < context.inputs(); ++i)
        strides.push_back(equation.stride(context.input(i).shape, i, index));
    }
  }

  void offsets(int64_t number, std::vector<int64_t>& to) const {
    std::fill(to.begin(), to.end(), 0);
    for (size_t axis = extents.size(); axis-- > 0;) {
      for (size_t i = 0; i < to.size(); ++i)
        to[i] += number % extents[axis] * strides[axis * to.size() + i];
      number /= extents[axis];
    }
  }

  int64_t count;
  std::vector<int64_t> extents, strides;  // strides: per index and operand
};

// Sums in double, or wrapping in 64 bits.
void reference(const ReferenceContext& context) {
  const EinsumEquation equation = einsum_equation(context);
  const Combinations outputs(context, equation, equation.output);
  const Combinations terms(context, equation, equation.summed);
  std::vector<int64_t> at(context.inputs()), step(context.inputs());
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;
    for (int64_t i = 0; i < outputs.count; ++i) {
      outputs.offsets(i, at);
      Sum sum = 0;
      for (int64_t k = 0; k < terms.count; ++k) {
        terms.offsets(k, step);
        Sum product = 1;
        for (size_t n = 0; n < context.inputs(); ++n)
          product *= static_cast<Sum>(context.in<T>(n)[at[n] + step[n]]);
        sum += product;
      }
      context.out<T>(0)[i] = static_cast<T>(sum);
    }
  });
}

// One or two operands in plain loops: permutations, diagonals, sums, outer and elementwise
// products.
struct Loops {
  struct Axis {
    int64_t extent = 1, a = 0, b = 0;  // with the elements that a step moves in each operand
  };
  // Innermost first. Two operands have no more axes than that.
  std::array<Axis, 2 * Shape::kMaxRank> outer{}, summed{};
  int outer_count = 0, summed_count = 0;
  int64_t outputs = 1, terms = 1;
  bool two = false;
};

void advance(const std::array<Loops::Axis, 2 * Shape::kMaxRank>& axes, int count, int64_t number,
             int64_t& a, int64_t& b) {
  for (int i = 0; i < count; ++i) {
    const Loops::Axis& axis = axes[static_cast<size_t>(i)];
    a += number % axis.extent * axis.a;
    b += number % axis.extent * axis.b;
    number /= axis.extent;
  }
}

float sum_of(const Loops& loops, const float* a, const float* b) {
  constexpr int64_t kLanes = 4;  // independent sums hide the latency of addition
  const Loops::Axis& inner = loops.summed[0];
  double sums[kLanes] = {};
  for (int64_t k = 0; k < loops.terms; k += inner.extent) {
    int64_t at_a = 0, at_b = 0;
    advance(loops.summed, loops.summed_count, k, at_a, at_b);
    for (int64_t i = 0; i < inner.extent; ++i)
      sums[i % kLanes] += static_cast<double>(a[at_a + i * inner.a]) *
                          (loops.two ? static_cast<double>(b[at_b + i * inner.b]) : 1.0);
  }
  return static_cast<float>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// A run along the output's last axis.
void run_inner(const Loops& loops, const float* a, const float* b, float* y, int64_t count) {
  const Loops::Axis& inner = loops.outer[0];
  if (loops.terms != 1)
    for (int64_t i = 0; i < count; ++i) y[i] = sum_of(loops, a + i * inner.a, b + i * inner.b);
  else if (loops.two)
    for (int64_t i = 0; i < count; ++i) y[i] = a[i * inner.a] * b[i * inner.b];
  else
    for (int64_t i = 0; i < count; ++i) y[i] = a[i * inner.a];
}

void run(const Loops& loops, const StepArgs& args) {
  const auto* a = static_cast<const float*>(args.inputs[0]);
  const auto* b = loops.two ? static_cast<const float*>(args.inputs[1]) : a;
  auto* y = static_cast<float*>(args.outputs[0]);
  const int64_t row = loops.outer[0].extent;
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / loops.terms);
  for_each_range(*args.workers, loops.outputs, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t count = std::min(end - begin, row - begin % row);
      int64_t at_a = 0, at_b = 0;
      advance(loops.outer, loops.outer_count, begin, at_a, at_b);
      run_inner(loops, a + at_a, b + at_b, y + begin, count);
      begin += count;
    }
  });
}

Loops loops_of(const PlanContext& context, const EinsumEquation& equation) {
  Loops loops;
  loops.two = context.inputs() == 2;
  const auto add = [&](const EinsumIndices& indices, auto& axes, int& count) {
    for (auto index = indices.rbegin(); index != indices.rend(); ++index) {
      if (equation.extent(*index) == 1) continue;
      axes[static_cast<size_t>(count++)] = {
          equation.extent(*index), equation.stride(context.input(0).shape, 0, *index),
          loops.two ? equation.stride(context.input(1).shape, 1, *index) : 0};
    }
  };
  add(equation.output, loops.outer, loops.outer_count);
  add(equation.summed, loops.summed, loops.summed_count);
  loops.outputs = equation.elements(equation.output);
  loops.terms = equation.elements(equation.summed);
  return loops;
}

void plan(PlanContext& context) {
  if (context.input(0).dtype != DType::kFloat32 || context.inputs() > 2) return;
  const EinsumEquation equation = einsum_equation(context);
  if (context.inputs() == 2 && plan_einsum_product(context, equation)) return;
  context.emit(run, loops_of(context, equation));
}

int64_t macs(const InferContext& context, const TensorType& output) {
  if (context.inputs() == 1) return 0;
  const EinsumEquation equation = einsum_equation(context);
  return output.shape.elements() * equation.elements(equation.summed);
}

SANDERLING_OPERATOR(einsum)({.name = "Einsum",
                             .since_opset = 12,
                             .max_inputs = std::numeric_limits<size_t>::max(),
                             .infer = infer,
                             .reference = reference,
                             .plan = plan,
                             .macs = macs});

}  // namespace
}  // namespace sanderling
