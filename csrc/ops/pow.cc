#include <algorithm>
#include <cmath>

#include "ops/convert.h"
#include "ops/pairs.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64});
  require_number(context, 1);
  context.set_output(0, context.input(0).dtype, broadcast_inputs(context));
}

// Of integers, wrapping around. ONNX does not say what a negative exponent gives: here the quotient
// 1 / x^-e cut towards zero, and 0 for x = 0.
template <typename T, typename E>
T integer_power(T x, E e) {
  if (e < E{0}) {
    if (x != 1 && x != T{-1}) return T{0};
    return x == 1 || (e & 1) == 0 ? T{1} : T{-1};
  }
  T result = 1;
  for (auto left = static_cast<std::make_unsigned_t<E>>(e); left != 0; left >>= 1) {
    const auto times = [](T a, T b) {
      return wrapping(a, b, [](auto p, auto q) { return p * q; });
    };
    if ((left & 1) != 0) result = times(result, x);
    x = times(x, x);
  }
  return result;
}

template <typename T, typename E>
T power(T x, E e) {
  if constexpr (std::is_integral_v<T> && std::is_integral_v<E>)
    return integer_power(x, e);
  else
    return convert_element<T>(std::pow(static_cast<double>(x), static_cast<double>(e)), false);
}

void reference(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto base) {
    using T = decltype(base);
    if constexpr (std::is_signed_v<T> && sizeof(T) >= 4) {  // those that infer lets pass
      visit_number(context.input(1).dtype, [&](auto exponent) {
        using E = decltype(exponent);
        reference_pairs<T, E, T>(context, [](T x, E e) { return power(x, widen_element(e)); });
      });
    }
  });
}

// pow(x, 0.5), which differs from the root for -0 and -infinity.
float root(float x) { return x == -HUGE_VALF ? HUGE_VALF : std::sqrt(x) + 0.0f; }

// The exponents that models have as one constant need no logarithm. Each is within 1 ulp, as pow
// is, but the cube with 2 roundings.
template <typename E>
void power_run(const float* x, int64_t x_step, const E* e, int64_t e_step, float* y,
               int64_t count) {
  if (e_step == 0 && x_step != 0) {
    const auto each = [&](auto function) {
      for (int64_t i = 0; i < count; ++i) y[i] = function(x[i]);
    };
    const auto exponent = static_cast<double>(*e);
    if (exponent == 2) return each([](float v) { return v * v; });
    if (exponent == 3) return each([](float v) { return v * v * v; });
    if (exponent == 0.5) return each(root);
  }
  apply_to_run([](float v, E exponent) { return std::pow(v, static_cast<float>(exponent)); }, x,
               x_step, e, e_step, y, count);
}

struct Step {
  BroadcastWalk walk;
};

template <typename E>
void run(const Step& step, const StepArgs& args) {
  const auto& walk = step.walk;
  for_each_range(*args.workers, walk.elements(), kFunctionGrain, [&](int64_t begin, int64_t end) {
    walk(begin, end, [&](int64_t at_y, int64_t at_x, int64_t at_e, int64_t count) {
      power_run(static_cast<const float*>(args.inputs[0]) + at_x, walk.a_step(),
                static_cast<const E*>(args.inputs[1]) + at_e, walk.b_step(),
                static_cast<float*>(args.outputs[0]) + at_y, count);
    });
  });
}

// Integer exponents of 64 bits may be odd where the float nearest to them is even: the reference
// takes those, but for constants.
void plan(PlanContext& context) {
  if (context.input(0).dtype != DType::kFloat32) return;
  const Step step{{context.input(0).shape, context.input(1).shape}};
  if (context.input(1).dtype == DType::kFloat32) context.emit(run<float>, step);
  const auto small = [&](auto exponents) {
    return std::all_of(exponents.begin(), exponents.end(),
                       [](auto e) { return e > -(1 << 24) && e < 1 << 24; });
  };
  if (!context.is_constant(1)) return;
  if (context.input(1).dtype == DType::kInt64 && small(context.constant(1).data<int64_t>()))
    context.emit(run<int64_t>, step);
  if (context.input(1).dtype == DType::kInt32 && small(context.constant(1).data<int32_t>()))
    context.emit(run<int32_t>, step);
}

SANDERLING_OPERATOR(pow)({.name = "Pow",
                          .since_opset = 7,
                          .min_inputs = 2,
                          .max_inputs = 2,
                          .infer = infer,
                          .reference = reference,
                          .plan = plan,
                          .elementwise = true});

}  // namespace
}  // namespace sanderling
