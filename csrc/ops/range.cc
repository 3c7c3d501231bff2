#include <array>
#include <cmath>

#include "ops/element_types.h"
#include "ops/node_checks.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

// Numbers start + i * delta. Floats are computed in double, integers modulo 2^64, and rounded once.
template <typename T>
struct Progression {
  T start, delta;
  int64_t count;

  T operator[](int64_t i) const {
    if constexpr (std::is_floating_point_v<T>)
      return static_cast<T>(static_cast<double>(start) +
                            static_cast<double>(i) * static_cast<double>(delta));
    else
      return static_cast<T>(static_cast<uint64_t>(start) +
                            static_cast<uint64_t>(i) * static_cast<uint64_t>(delta));
  }
};

void check_count(const InferContext& context, double count) {
  if (!(count <= static_cast<double>(Shape::kMaxElements)))
    context.error("would give ", count, " numbers, the limit is ", Shape::kMaxElements,
                  ". Check start, limit and delta");
}

template <typename T>
int64_t count_of(const InferContext& context, T start, T limit, T delta) {
  if (delta == 0) context.error("delta is 0, expected another number");
  if constexpr (std::is_floating_point_v<T>) {
    // The distance is rounded, the quotient is not: so ONNX Runtime has it, and how many numbers
    // there are may hang on it.
    const T distance = limit - start;
    const double count = std::ceil(static_cast<double>(distance) / static_cast<double>(delta));
    check_count(context, count);
    return count > 0 ? static_cast<int64_t>(count) : 0;
  } else {
    if (delta > 0 ? limit <= start : limit >= start) return 0;
    // Of int64 the distance may need 64 bits without a sign.
    const auto s = static_cast<uint64_t>(start), l = static_cast<uint64_t>(limit);
    const uint64_t distance = delta > 0 ? l - s : s - l;
    const uint64_t step =
        delta > 0 ? static_cast<uint64_t>(delta) : uint64_t{0} - static_cast<uint64_t>(delta);
    const uint64_t count = (distance - 1) / step + 1;
    check_count(context, static_cast<double>(count));
    return static_cast<int64_t>(count);
  }
}

template <typename T>
Progression<T> progression(const InferContext& context) {
  const auto value = [&](size_t i) { return context.constant(i).data<T>()[0]; };
  const T start = value(0), limit = value(1), delta = value(2);
  return {start, delta, count_of(context, start, limit, delta)};
}

void infer(InferContext& context) {
  constexpr std::array<const char*, 3> kNames{"start", "limit", "delta"};
  require_number(context, 0);
  for (size_t i = 0; i < kNames.size(); ++i) {
    require_one_element(context, i, kNames[i]);
    require_same_dtype(context, 0, i);
  }
  const DType dtype = context.input(0).dtype;
  visit_number(dtype, [&](auto zero) {
    context.set_output(0, dtype, Shape{progression<decltype(zero)>(context).count});
  });
}

void reference(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto numbers = progression<T>(context);
    for (int64_t i = 0; i < numbers.count; ++i) context.out<T>(0)[i] = numbers[i];
  });
}

template <typename T>
void run(const Progression<T>& numbers, const StepArgs& args) {
  auto* const y = static_cast<T*>(args.outputs[0]);
  for_each_range(*args.workers, numbers.count, kStreamGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = numbers[i];
  });
}

void plan(PlanContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    context.emit(run<T>, progression<T>(context));
  });
}

SANDERLING_OPERATOR(range)({.name = "Range",
                            .since_opset = 11,
                            .min_inputs = 3,
                            .max_inputs = 3,
                            .infer = infer,
                            .reference = reference,
                            .plan = plan});

}  // namespace
}  // namespace sanderling
