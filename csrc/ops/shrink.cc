#include "ops/convert.h"
#include "ops/map_elements.h"
#include "ops/node_checks.h"

namespace sanderling {
namespace {

// In double, as ONNX's own reference has it for integers too, which then drop the fraction. NaN is
// on neither side: 0.
struct Shrink {
  explicit Shrink(const InferContext& context)
      : bias(context.attributes().number("bias", 0.0f)),
        lambd(context.attributes().number("lambd", 0.5f)) {}
  template <typename T>
  T operator()(T x) const {
    const auto wide = static_cast<double>(x);
    const bool below = wide < -lambd;
    if (!below && !(wide > lambd)) return T{0};
    if (bias == 0) return x;  // a double may not hold it
    return convert_element<T>(below ? wide + bias : wide - bias, false);
  }

  double bias, lambd;
};

void infer(InferContext& context) {
  require_number(context, 0);
  Shrink{context};
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    const Shrink shrink(context);
    for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
      context.out<T>(0)[i] = shrink(context.in<T>(0)[i]);
  });
}

SANDERLING_OPERATOR(shrink)({.name = "Shrink",
                             .since_opset = 9,
                             .infer = infer,
                             .reference = reference,
                             .elementwise = true});

}  // namespace
}  // namespace sanderling
