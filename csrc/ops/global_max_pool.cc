#include "ops/pooling.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(global_max_pool)({.name = "GlobalMaxPool",
                                      .since_opset = 1,
                                      .infer = infer_maximum,
                                      .reference = reference_maximum,
                                      .plan = plan_maximum});

}  // namespace
}  // namespace sanderling
