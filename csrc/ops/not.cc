#include "ops/map_elements.h"
#include "ops/node_checks.h"

namespace sanderling {
namespace {

void infer(InferContext& context) {
  if (context.input(0).dtype != DType::kBool)
    context.error("input 0 is ", name_of(context.input(0).dtype),
                  ", expected bool. Cast it in the model");
  context.set_output(0, DType::kBool, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i)
    context.out<bool>(0)[i] = !context.in<bool>(0)[i];
}

void plan(PlanContext& context) {
  emit_map<bool>(context, [](bool x) { return !x; }, kStreamGrain);
}

SANDERLING_OPERATOR(not_)({.name = "Not",
                           .since_opset = 7,
                           .infer = infer,
                           .reference = reference,
                           .plan = plan,
                           .elementwise = true});

}  // namespace
}  // namespace sanderling
