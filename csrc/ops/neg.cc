#include "ops/unary_number.h"

namespace sanderling {
namespace {

struct Negative {
  template <typename T>
  T operator()(T x) const {
    return negated(x);
  }
};

void infer(InferContext& context) {
  require_dtype(context, 0,
                {DType::kFloat32, DType::kFloat64, DType::kInt8, DType::kInt16, DType::kInt32,
                 DType::kInt64});
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

SANDERLING_OPERATOR(neg)({.name = "Neg",
                          .since_opset = 7,
                          .infer = infer,
                          .reference = reference_unary_number<Negative>,
                          .plan = plan_unary_number<Negative>,
                          .elementwise = true,
                          .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
