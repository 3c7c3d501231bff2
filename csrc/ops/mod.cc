#include <cmath>

#include "ops/element_types.h"
#include "ops/pairs.h"

namespace sanderling {
namespace {

// Which sign a remainder has: of the dividend (C's, fmod = 1) or of the divisor (Python's).
bool of_dividend(const InferContext& context) {
  const int64_t fmod = context.attributes().integer("fmod", 0);
  if (fmod != 0 && fmod != 1) context.error("fmod is ", fmod, ", ONNX has 0 and 1");
  return fmod == 1;
}

void infer(InferContext& context) {
  require_number(context, 0);
  require_same_dtype(context, 0, 1);
  const bool remainder_of_floor = !of_dividend(context);
  constexpr int64_t kFirstWithFloats = 28;
  if (remainder_of_floor && is_float(context.input(0).dtype) &&
      context.node().opset < kFirstWithFloats)
    context.error("fmod is 0 and the inputs are ", name_of(context.input(0).dtype),
                  "; before opset ", kFirstWithFloats, " floats need fmod = 1");
  context.set_output(0, context.input(0).dtype, broadcast_inputs(context));
}

// ONNX leaves division by zero open, where hardware traps: the remainder is 0, as in NumPy. So is
// that of lowest / -1, which does not fit.
template <typename T>
T integer_remainder(T a, T b, bool of_dividend) {
  if (b == 0) return 0;
  if constexpr (std::is_signed_v<T>) {
    if (b == T{-1}) return 0;
    const auto rest = static_cast<T>(a % b);
    return !of_dividend && rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
  } else {
    return static_cast<T>(a % b);
  }
}

template <typename T>
T float_remainder(T a, T b, bool of_dividend) {
  const T rest = std::fmod(a, b);
  if (of_dividend || std::isnan(rest)) return rest;
  if (rest == 0) return std::copysign(rest, b);
  return std::signbit(rest) != std::signbit(b) ? rest + b : rest;
}

void reference(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    reference_pairs<T, T, T>(context, [dividend = of_dividend(context)](T a, T b) {
      if constexpr (std::is_floating_point_v<T>)
        return float_remainder(a, b, dividend);
      else
        return integer_remainder(a, b, dividend);
    });
  });
}

SANDERLING_OPERATOR(mod)({.name = "Mod",
                          .since_opset = 10,
                          .min_inputs = 2,
                          .max_inputs = 2,
                          .infer = infer,
                          .reference = reference,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
