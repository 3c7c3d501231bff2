#include <functional>

#include "ops/comparison.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(less_or_equal)({.name = "LessOrEqual",
                                    .since_opset = 12,
                                    .min_inputs = 2,
                                    .max_inputs = 2,
                                    .infer = infer_comparison,
                                    .reference = reference_comparison<std::less_equal<>>,
                                    .plan = plan_comparison<std::less_equal<>>,
                                    .elementwise = true});

}  // namespace
}  // namespace sanderling
