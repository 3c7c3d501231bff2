#include <functional>

#include "ops/comparison.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(greater)({.name = "Greater",
                              .since_opset = 7,
                              .min_inputs = 2,
                              .max_inputs = 2,
                              .infer = infer_comparison,
                              .reference = reference_comparison<std::greater<>>,
                              .plan = plan_comparison<std::greater<>>,
                              .elementwise = true});

}  // namespace
}  // namespace sanderling
