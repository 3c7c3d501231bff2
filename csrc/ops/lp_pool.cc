#include "ops/norm_pooling.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(lp_pool)({.name = "LpPool",
                              .since_opset = 2,
                              .infer = infer_norm_pool,
                              .reference = reference_norm_pool});

}  // namespace
}  // namespace sanderling
