#include <functional>

#include "ops/comparison.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(less)({.name = "Less",
                           .since_opset = 7,
                           .min_inputs = 2,
                           .max_inputs = 2,
                           .infer = infer_comparison,
                           .reference = reference_comparison<std::less<>>,
                           .plan = plan_comparison<std::less<>>,
                           .elementwise = true});

}  // namespace
}  // namespace sanderling
