#include "ops/gelu.h"

#include "ops/unary_function.h"

namespace sanderling {
namespace {

struct Gelu {
  explicit Gelu(const InferContext& context) {
    const std::string mode = context.attributes().text("approximate", "none");
    if (mode != "none" && mode != "tanh")
      context.error("approximate is '", mode, "', ONNX has none and tanh");
    approximate = mode == "tanh";
  }
  double operator()(double x) const { return approximate ? tanh_gelu(x) : gelu(x); }

  bool approximate;
};

void plan(PlanContext& context) {
  if (Gelu(context).approximate)
    plan_unary_kernel(context, context.kernels().tanh_gelu_f32, "tanh_gelu_f32");
  else
    plan_unary_kernel(context, context.kernels().gelu_f32, "gelu_f32");
}

SANDERLING_OPERATOR(gelu)({.name = "Gelu",
                           .since_opset = 20,
                           .infer = infer_function<Gelu>,
                           .reference = reference_function<Gelu>,
                           .plan = plan,
                           .elementwise = true,
                           .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
