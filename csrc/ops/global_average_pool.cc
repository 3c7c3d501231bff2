#include "ops/pooling.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(global_average_pool)({.name = "GlobalAveragePool",
                                          .since_opset = 1,
                                          .infer = infer_average,
                                          .reference = reference_average,
                                          .plan = plan_average});

}  // namespace
}  // namespace sanderling
