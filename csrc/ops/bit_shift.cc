#include "ops/bitwise.h"

namespace sanderling {
namespace {

bool to_the_left(const InferContext& context) {
  const std::string direction = context.attributes().text("direction", "");
  if (direction != "LEFT" && direction != "RIGHT")
    context.error("direction is '", direction, "', ONNX has LEFT and RIGHT");
  return direction == "LEFT";
}

void infer(InferContext& context) {
  to_the_left(context);
  infer_bitwise(context);
}

// A right shift fills with copies of the sign; a shift by a negative count, or by all bits or more,
// leaves nothing else.
template <typename T>
T shift(T x, T by, bool left) {
  constexpr T kBits = 8 * sizeof(T);
  const bool all = by < T{0} || by >= kBits;
  if (left) return all ? T{0} : static_cast<T>(static_cast<std::make_unsigned_t<T>>(x) << by);
  return static_cast<T>(x >> (all ? kBits - 1 : by) >> (all ? 1 : 0));
}

void reference(const ReferenceContext& context) {
  visit_integer(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    reference_pairs<T, T, T>(
        context, [left = to_the_left(context)](T x, T by) { return shift(x, by, left); });
  });
}

SANDERLING_OPERATOR(bit_shift)({.name = "BitShift",
                                .since_opset = 11,
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .infer = infer,
                                .reference = reference,
                                .elementwise = true});

}  // namespace
}  // namespace sanderling
