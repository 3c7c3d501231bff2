#include "ops/pooling.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(average_pool)({.name = "AveragePool",
                                   .since_opset = 7,
                                   .infer = infer_average,
                                   .reference = reference_average,
                                   .plan = plan_average});

}  // namespace
}  // namespace sanderling
